import re

import pytest

from benchmarks.random_computations import random_computation
from microjoule.errors import GraphError
from microjoule.scheduling.computation import LARGEST, Computation, Operator, Value, sorted_operators
from tests.scheduling.random_computations import computation_of, for_seeds, operator_of, random_orders

DIAMOND = computation_of([1, 2, 3, 4], [operator_of([0], 1), operator_of([0], 2), operator_of([1, 2], 3)], outputs=[3])
ACCUMULATED = computation_of([1, 2, 3], [operator_of([0], 1), operator_of([0], 1), operator_of([1], 2)])


def test_users_by_hand():
    assert DIAMOND.writers() == [(), (0,), (1,), (2,)]
    assert DIAMOND.readers() == [(0, 1), (2,), (2,), ()]
    assert DIAMOND.before() == [frozenset(), frozenset(), frozenset({0, 1})]


def test_what_is_accumulated_is_complete_after_its_last_writer():
    assert ACCUMULATED.writers()[1] == (0, 1)
    assert ACCUMULATED.before()[2] == {0, 1}


def test_another_order_has_the_same_operators():
    other = DIAMOND.in_order([1, 0, 2])
    assert [one.name for one in other.operators] == ["o2", "o1", "o3"]
    assert (other.values, other.name) == (DIAMOND.values, DIAMOND.name)


def test_what_is_not_said_is_not_so():
    assert Value("x", 1) == Value("x", 1, is_input=False, is_output=False)
    assert Operator("f", (0,), (1,)) == Operator("f", (0,), (1,), None, 0, False, "")


# Refusal --------------------------------------------------------------------------------------------------------------


def test_with_other_indices_all_else_stays():
    given = Operator("f", (0, 2), (1,), inplace=2, workspace_bytes=3, kind="conv")
    assert given.renumbered({0: 5, 1: 0, 2: 1, 3: 9}) == Operator("f", (5, 1), (0,), 1, 3, kind="conv")
    assert Operator("g", (), (1, 0), is_view=True).renumbered({0: 7, 1: 8}) == Operator("g", (), (8, 7), is_view=True)


@pytest.mark.parametrize("size", [-1, LARGEST + 1, 1.0, True, "4", None])
def test_a_size_that_cannot_be_is_refused(size):
    message = re.escape(f"value 'x': has a size of {size!r} bytes\n  give a whole number from 0 to 2^53")
    with pytest.raises(GraphError, match=message):
        Value("x", size)
    with pytest.raises(GraphError, match=re.escape(f"operator 'f': has a workspace of {size!r} bytes")):
        Operator("f", (), (0,), workspace_bytes=size)


def test_every_whole_number_up_to_the_largest_is_a_float():
    assert float(LARGEST) == LARGEST
    assert float(LARGEST + 1) != LARGEST + 1


@pytest.mark.parametrize("size", [0, LARGEST])
def test_the_smallest_and_the_largest_size_are_taken(size):
    assert Value("x", size).size_bytes == Operator("f", (), (0,), workspace_bytes=size).workspace_bytes == size


UNSOUND = {
    "no output": (lambda: Operator("f", (0,), ()), "operator 'f': writes no value"),
    "an input twice": (lambda: Operator("f", (0, 0), (1,)), r"reads a value twice: \(0, 0\)"),
    "an output twice": (lambda: Operator("f", (0,), (1, 1)), r"writes a value twice: \(1, 1\)"),
    "in place on another value": (
        lambda: Operator("f", (0,), (1,), inplace=2),
        r"is in place on value 2, reads \(0,\) and writes \(1,\)",
    ),
    "in place with two outputs": (lambda: Operator("f", (0,), (1, 2), inplace=0), "is in place on value 0"),
    "a value that is not there": (lambda: computation_of([1], [operator_of([0], 1)]), "c: o1: names value 1 of 1"),
    "a value before the first": (lambda: computation_of([1, 1], [operator_of([-1], 1)]), "c: o1: names value -1 of 2"),
    "no room": (lambda: computation_of([1, 2], [operator_of([0], 1, inplace=0)]), "o1: writes 2 bytes in place of 1"),
    "an input that is written": (
        lambda: computation_of([1, 1], [operator_of([0], 1)], inputs=[0, 1]),
        "c: v1: is an input and written by operator 'o1'",
    ),
    "a value of nobody": (lambda: computation_of([1, 1], []), "c: v1: is neither an input nor written by an operator"),
    "a view that is accumulated": (
        lambda: computation_of([1, 1], [operator_of([0], 1), operator_of([0], 1, is_view=True)]),
        "c: v1: is written by several operators, one of them a view",
    ),
    "operators out of order": (
        lambda: computation_of([1, 1, 1], [operator_of([2], 1), operator_of([0], 2)]),
        "c: o1: comes before operator 'o2', which it needs",
    ),
    "an operator that needs itself": (
        lambda: computation_of([1, 1], [operator_of([1], 1)]),
        "c: o1: comes before operator 'o1', which it needs",
    ),
}


@pytest.mark.parametrize(("make", "message"), UNSOUND.values(), ids=UNSOUND)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_an_output_in_place_may_fill_its_input():
    assert computation_of([2, 2], [operator_of([0], 1, inplace=0)]).operators[0].inplace == 0


def test_an_order_against_a_need_is_refused():
    with pytest.raises(GraphError, match="c: o3: comes before operator 'o2', which it needs"):
        DIAMOND.in_order([0, 2, 1])


# Sorting --------------------------------------------------------------------------------------------------------------


@for_seeds(30)
def test_sorted_operators_can_run(seed):
    """Computation itself refuses what cannot."""
    given = random_computation(seed)
    found = sorted_operators(len(given.values), given.operators[::-1])
    assert set(found) == set(given.operators)
    assert Computation("sorted", given.values, found).values == given.values


@for_seeds(10)
def test_every_order_of_ready_operators_is_taken(seed):
    given = random_computation(seed)
    for order in random_orders(given, 3):
        assert given.in_order(order).operators == tuple(given.operators[one] for one in order)


def test_a_circle_is_refused_by_its_names():
    circle = [operator_of([1], 0), operator_of([0], 1)]
    with pytest.raises(
        GraphError, match=r"o. -> o. -> o.: need each other in a circle\n  a computation has no circles"
    ):
        sorted_operators(2, circle)


def test_nothing_is_sorted_to_nothing():
    assert sorted_operators(0, []) == ()
    assert Computation("empty", (), ()).before() == []
