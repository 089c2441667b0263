import random
import sys
from itertools import chain, combinations

import pytest

from microjoule.errors import SettingError
from microjoule.scheduling.check import result_problems
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.rewrite import accumulable, accumulate, per_branch, rewrite
from tests.scheduling.random_computations import for_seeds, smallest_peak

CELL = Computation(
    "cell",
    (Value("x", 4, is_input=True), Value("a", 10), Value("b", 20), Value("ab", 30), Value("y", 6, is_output=True)),
    (
        Operator("make a", (0,), (1,)),
        Operator("make b", (0,), (2,)),
        Operator("join", (1, 2), (3,), is_view=True, kind="concat"),
        Operator("mix", (3,), (4,), workspace_bytes=1, kind="conv"),
    ),
)
"""Two branches, joined, and a convolution: 30 bytes of both, and 6 of the output, or 4 of the input and both."""


def names(given):
    return [one.name for one in given.operators]


def replaced(given, index, **changes):
    operators = list(given.operators)
    operators[index] = Operator(
        **{name: getattr(operators[index], name) for name in Operator.__dataclass_fields__} | changes
    )
    return Computation(given.name, given.values, tuple(operators))


# Accumulation by hand -------------------------------------------------------------------------------------------------


def test_a_convolution_of_a_concatenation_by_hand():
    given = accumulate(CELL, [3])
    assert given.values == tuple(one for one in CELL.values if one.name != "ab")
    assert set(given.operators) == {
        Operator("make a", (0,), (1,)),
        Operator("make b", (0,), (2,)),
        Operator("mix of a", (1,), (3,), workspace_bytes=1, kind="conv"),
        Operator("mix of b", (2,), (3,), workspace_bytes=1, kind="conv"),
    }
    assert (smallest_peak(CELL), smallest_peak(given)) == (37, 30)


def test_an_accumulator_of_four_bytes_is_rounded_in_place():
    given = accumulate(CELL, [3], accumulator_bytes=4)
    assert given.values[3:] == (Value("y", 6, is_output=True), Value("y added up", 24))
    assert names(given)[-3:] == ["mix of a", "mix of b", "mix rounded"]
    assert given.operators[-1] == Operator("mix rounded", (4,), (3,), inplace=4, kind="round")
    assert given.operators[-2] == Operator("mix of b", (2,), (4,), workspace_bytes=1, kind="conv")
    assert smallest_peak(given) == 4 + 24 + 20


def test_a_sum_takes_in_its_inputs_one_after_another():
    given = accumulate(replaced(CELL, 3, inputs=(1, 2, 0), kind="add", inplace=1), [3])
    assert set(given.operators) == {
        *CELL.operators[:2],
        Operator("mix of a", (1,), (3,), workspace_bytes=1, kind="add"),
        Operator("mix of b", (2,), (3,), workspace_bytes=1, kind="add"),
        Operator("mix of x", (0,), (3,), workspace_bytes=1, kind="add"),
    }


def test_a_concatenation_that_is_read_elsewhere_stays():
    values = (*CELL.values, Value("z", 1))
    given = Computation("cell", values, (*CELL.operators, Operator("read", (3,), (5,))))
    assert set(names(accumulate(given, [3]))) == {"make a", "make b", "join", "mix of a", "mix of b", "read"}
    wanted = Computation("cell", (*CELL.values[:3], Value("ab", 30, is_output=True), CELL.values[4]), CELL.operators)
    assert "join" in names(accumulate(wanted, [3]))


def test_concatenations_of_concatenations_go_together():
    values = (*CELL.values[:4], Value("c", 1, is_input=True), Value("abc", 31), Value("y", 6, is_output=True))
    operators = (
        *CELL.operators[:3],
        Operator("join again", (4, 3), (5,), kind="concat"),
        Operator("mix", (5,), (6,), kind="conv"),
    )
    given = accumulate(Computation("cell", values, operators), [4])
    assert set(names(given)) == {"make a", "make b", "mix of c", "mix of a", "mix of b"}
    assert [one.name for one in given.values] == ["x", "a", "b", "c", "y"]


def test_an_input_that_nobody_reads_stays():
    given = Computation("cell", (*CELL.values, Value("more", 1, is_input=True)), CELL.operators)
    assert [one.name for one in accumulate(given, [3]).values] == ["x", "a", "b", "y", "more"]


def test_what_can_be_a_sum():
    assert accumulable(CELL) == [3]
    assert accumulable(replaced(CELL, 3, kind="depthwise")) == []
    assert accumulable(replaced(CELL, 2, kind="")) == []
    assert accumulable(replaced(CELL, 2, kind="add", is_view=False)) == [2]
    assert accumulable(replaced(CELL, 3, inputs=(3, 0))) == []
    assert accumulable(replaced(CELL, 3, inputs=(0,))) == []
    assert accumulable(replaced(CELL, 0, kind="add")) == [3]
    assert accumulable(replaced(CELL, 0, kind="conv", inputs=())) == [3]


def test_a_branch_that_is_joined_twice_is_left_alone():
    values = (Value("x", 4, is_input=True), Value("xx", 4), Value("xxx", 8), Value("y", 1))
    twice = (
        Operator("see", (0,), (1,), is_view=True, kind="concat"),
        Operator("join", (0, 1), (2,), is_view=True, kind="concat"),
    )
    for kind in ("conv", "depthwise"):
        given = Computation("twice", values, (*twice, Operator("mix", (2,), (3,), kind=kind)))
        assert accumulable(given) == []
        assert per_branch(given) == given


def test_what_cannot_be_a_sum_is_refused():
    message = r"chosen: operators \[0, 2\] are no convolution of a concatenation and no sum\n  choose of micro"
    with pytest.raises(SettingError, match=message):
        accumulate(CELL, [3, 2, 0])


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_a_byte_is_refused(count):
    with pytest.raises(SettingError, match=f"accumulator_bytes: is {count}\n  give at least 1"):
        accumulate(CELL, [3], accumulator_bytes=count)


# Each branch by hand --------------------------------------------------------------------------------------------------


def test_a_depthwise_convolution_is_split_by_hand():
    """Of 7 bytes a third and two thirds, rounded up."""
    whole = replaced(CELL, 3, kind="depthwise")
    whole = Computation("cell", (*whole.values[:4], Value("y", 7, is_output=True)), whole.operators)
    given = per_branch(whole)
    assert [(one.name, one.size_bytes) for one in given.values] == [
        ("x", 4),
        ("a", 10),
        ("b", 20),
        ("y", 7),
        ("y of a", 3),
        ("y of b", 5),
    ]
    assert set(given.operators) == {
        Operator("make a", (0,), (1,)),
        Operator("make b", (0,), (2,)),
        Operator("mix of a", (1,), (4,), workspace_bytes=1, kind="depthwise"),
        Operator("mix of b", (2,), (5,), workspace_bytes=1, kind="depthwise"),
        Operator("mix joined", (4, 5), (3,), is_view=True, kind="concat"),
    }
    assert given.values[3].is_output
    assert per_branch(given) == given


def test_shares_that_are_whole_are_not_rounded():
    given = per_branch(replaced(CELL, 3, kind="depthwise"))
    assert [one.size_bytes for one in given.values[-2:]] == [2, 4]


def test_a_copy_stays_a_copy():
    given = per_branch(replaced(replaced(CELL, 3, kind="depthwise"), 2, is_view=False))
    assert not next(one for one in given.operators if one.name == "mix joined").is_view


@pytest.mark.parametrize("changes", [{"kind": "conv"}, {"inputs": (0,)}, {"inputs": (3, 0)}])
def test_other_operators_are_not_split(changes):
    given = replaced(CELL, 3, **{"kind": "depthwise", **changes})
    assert per_branch(given) == given


def test_branches_of_no_bytes_have_no_shares():
    values = tuple(Value(one.name, 0, one.is_input, one.is_output) for one in CELL.values)
    given = replaced(Computation("cell", values, CELL.operators), 3, kind="depthwise")
    assert per_branch(given) == given


# The best of them -----------------------------------------------------------------------------------------------------


def test_a_cell_by_hand():
    found = rewrite(CELL)
    assert (found.order.peak, found.accumulated, found.accumulator_bytes) == (30, ("mix",), 1)
    assert found.is_best
    assert found.tried == 2
    assert found.computation == accumulate(CELL, [3])
    found = rewrite(CELL, accumulator_bytes=4)
    assert (found.order.peak, found.accumulated, found.computation) == (37, (), CELL)
    assert (found.is_best, found.tried) == (True, 2)


def test_without_time_it_is_not_known_to_be_best():
    found = rewrite(CELL, seconds=0)
    assert not found.order.is_optimal
    assert not found.is_best


def test_a_sum_gives_up_its_place_only_where_that_pays():
    """Accumulated, the sum would be there beside what it could overwrite."""
    values = (Value("x", 10, is_input=True), Value("y", 10), Value("z", 10, is_output=True))
    operators = (Operator("f", (0,), (1,)), Operator("sum", (1, 0), (2,), inplace=1, kind="add"))
    given = Computation("sum", values, operators)
    found = rewrite(given)
    assert (found.order.peak, found.computation) == (20, given)
    assert found.is_best


def test_a_split_that_costs_is_not_kept():
    """A copy of 8 bytes to 16: split, there are 16 of the parts and 16 of the whole at once."""
    values = (
        Value("a", 4, is_input=True),
        Value("b", 4, is_input=True),
        Value("ab", 8),
        Value("y", 16, is_output=True),
    )
    operators = (Operator("join", (0, 1), (2,), kind="concat"), Operator("widen", (2,), (3,), kind="depthwise"))
    given = Computation("copy", values, operators)
    assert (smallest_peak(given), smallest_peak(per_branch(given))) == (24, 32)
    found = rewrite(given)
    assert (found.computation, found.order.peak, found.tried) == (given, 24, 2)


def test_a_split_that_pays_is_kept():
    found = rewrite(replaced(CELL, 3, kind="depthwise"))
    assert found.computation == per_branch(replaced(CELL, 3, kind="depthwise"))
    assert (found.accumulated, found.order.peak) == ((), 4 + 20 + 2 + 1)
    assert found.tried == 2


def random_cell(seed, *, exact=False, most=7):
    """Branches, joined and mixed; exact has views, no sums in place, and shares that are whole bytes."""
    source = random.Random(seed)
    values, operators = [Value("x", source.randint(1, 9), is_input=True)], []

    def add(kind, inputs, size, **options):
        values.append(Value(f"v{len(values)}", size, is_output=source.random() < 0.05))
        operators.append(Operator(f"o{len(operators)}", inputs, (len(values) - 1,), kind=kind, **options))

    def some(count):
        return tuple(source.sample(range(len(values)), min(len(values), count)))

    for _ in range(source.randint(3, most)):
        kind = source.choice(["", "", "concat", "concat", "add"])
        inputs = some(1 if kind == "" else source.randint(2, 3))
        if kind == "add":
            add(kind, inputs, values[inputs[0]].size_bytes, inplace=source.choice([None, None if exact else inputs[0]]))
        elif kind == "concat":
            size = sum(values[one].size_bytes for one in inputs)
            add(kind, inputs, size, is_view=exact or source.random() < 0.6)
            kind = source.choice(["conv", "depthwise", ""])
            out = size * source.randint(1, 2) if exact and kind == "depthwise" else source.randint(1, 9)
            add(kind, (len(values) - 1,), out, workspace_bytes=source.choice([0, 0, 2]))
        else:
            add(kind, inputs, source.randint(1, 9))
    return Computation(f"cell {seed}", tuple(values), tuple(operators))


def best_of_all_sums(given, accumulator_bytes):
    options = accumulable(given)
    subsets = chain.from_iterable(combinations(options, count) for count in range(len(options) + 1))
    return min(smallest_peak(accumulate(given, one, accumulator_bytes=accumulator_bytes)) for one in subsets)


@pytest.mark.parametrize("accumulator_bytes", [1, 2, 4])
@for_seeds(60)
def test_the_best_of_all_choices_is_found(seed, accumulator_bytes):
    given = random_cell(seed, exact=True, most=5)
    found = rewrite(given, accumulator_bytes=accumulator_bytes)
    assert found.is_best
    assert found.order.peak == best_of_all_sums(per_branch(given), accumulator_bytes) <= smallest_peak(given)
    assert smallest_peak(found.computation) == found.order.peak
    assert result_problems(found.computation, found.order) == []


@for_seeds(80)
def test_views_are_split_without_cost(seed):
    given = random_cell(seed, exact=True)
    assert smallest_peak(per_branch(given)) <= smallest_peak(given)


@pytest.mark.parametrize("accumulator_bytes", [1, 4])
@for_seeds(80)
def test_it_is_never_worse(seed, accumulator_bytes):
    """Copies, sums in place and shares that are rounded too: a rewriting is kept only if it pays."""
    given = random_cell(seed, most=5)
    found = rewrite(given, accumulator_bytes=accumulator_bytes)
    assert found.order.peak <= smallest_peak(given)
    assert found.order.peak <= best_of_all_sums(per_branch(given), accumulator_bytes)
    assert smallest_peak(found.computation) == found.order.peak


def many_sums(count):
    """One after another, each of two values of which one could be there later."""
    values, operators = [Value("x", 1, is_input=True)], []
    for index in range(count):
        last = len(values) - 1
        values += [Value(f"a{index}", 4), Value(f"b{index}", 5), Value(f"y{index}", 1)]
        operators += [Operator(f"a{index}", (last,), (last + 1,)), Operator(f"b{index}", (last,), (last + 2,))]
        operators.append(Operator(f"y{index}", (last + 1, last + 2), (last + 3,), kind="add"))
    return Computation("many", tuple(values), tuple(operators))


@pytest.mark.parametrize(("count", "tried"), [(3, 2**3), (4, 2 + 4 + 6)])
def test_with_many_choices_changes_of_one_and_two_are_tried(count, tried, monkeypatch):
    """Each sum takes 10 bytes, accumulated in two bytes 8; all of them must be for the peak to be less."""
    monkeypatch.setattr(sys.modules[rewrite.__module__], "EXHAUSTIVE", 3)
    given = many_sums(count)
    assert smallest_peak(given) == 10
    found = rewrite(given, accumulator_bytes=2)
    assert found.order.peak == 8
    assert len(found.accumulated) == count
    assert found.is_best == (count == 3)
    assert found.tried == tried


@pytest.mark.slow
def test_more_choices_are_never_worse():
    """Nine sums, the first of which is better left alone."""
    given = many_sums(9)
    wide = Computation("wide", (*given.values[:3], Value("y0", 4), *given.values[4:]), given.operators)
    peaks = [rewrite(wide, accumulator_bytes=count).order.peak for count in (1, 2, 4)]
    assert peaks == sorted(peaks)
    assert peaks[-1] <= smallest_peak(wide)
