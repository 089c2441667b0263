import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.deploy.litert_plan import ALIGNMENT_BYTES, Lifetime, lay, litert_plan
from microjoule.scheduling.computation import Computation, Operator, Value
from tests.deploy.live_bytes import live_bytes

lifetimes = st.lists(
    st.tuples(st.integers(1, 400), st.integers(0, 9), st.integers(0, 9)).map(
        lambda drawn: Lifetime(drawn[0], min(drawn[1:]), max(drawn[1:]))
    ),
    max_size=12,
)


def chain(*sizes: int, workspace: int = 0) -> Computation:
    """Each value made of the one before; the last operator but one has the workspace."""
    values = [Value(f"v{i}", size, i == 0, i == len(sizes) - 1) for i, size in enumerate(sizes)]
    steps = [Operator(f"o{i}", (i,), (i + 1,)) for i in range(len(sizes) - 1)]
    steps[-1] = Operator("last", (len(sizes) - 2,), (len(sizes) - 1,), workspace_bytes=workspace)
    return Computation("chain", tuple(values), tuple(steps))


def test_a_chain_by_hand():
    """100 and 300 meet, 300 and 200 meet; 300 is largest, so it lies first, and 100 and 200 share what is behind it."""
    plan = litert_plan(chain(100, 300, 200))
    assert plan.offsets == (320, 0, 320)
    assert (plan.arena_bytes, plan.needed_bytes, plan.fullest) == (520, 500, 1)


def test_a_workspace_is_there_in_its_step_alone():
    plan = litert_plan(chain(64, 64, 64, workspace=640))
    assert plan.workspaces == (None, 0)
    assert plan.offsets == (0, 640, 704)
    assert (plan.arena_bytes, plan.needed_bytes, plan.fullest) == (768, 768, 1)


def test_what_stays_comes_first_though_it_is_small():
    values = (Value("x", 64, is_input=True, is_output=True), Value("y", 640), Value("z", 64, is_output=True))
    steps = (Operator("a", (0,), (1,)), Operator("b", (1,), (2,)))
    assert litert_plan(Computation("c", values, steps)).offsets == (0, 64, 704)


def test_a_view_lies_where_its_input_lies_and_keeps_it():
    values = (
        Value("x", 128, is_input=True),
        Value("y", 128),
        Value("v", 128),
        Value("z", 64),
        Value("w", 64, is_output=True),
    )
    steps = (
        Operator("a", (0,), (1,)),
        Operator("b", (1,), (2,), is_view=True),
        Operator("c", (0,), (3,)),
        Operator("d", (2, 3), (4,)),
    )
    plan = litert_plan(Computation("c", values, steps))
    assert plan.offsets[1] == plan.offsets[2]
    assert plan.needed_bytes == 128 + 128 + 64


def test_what_is_written_over_has_one_place():
    values = (Value("x", 128, is_input=True), Value("y", 128), Value("z", 128, is_output=True))
    steps = (Operator("a", (0,), (1,)), Operator("b", (1,), (2,), inplace=1))
    plan = litert_plan(Computation("c", values, steps))
    assert plan.offsets[1] == plan.offsets[2]
    assert plan.arena_bytes == 256


def test_a_view_of_several_values_has_no_one_place():
    values = (Value("x", 128, is_input=True), Value("y", 64), Value("v", 192), Value("z", 64, is_output=True))
    steps = (Operator("a", (0,), (1,)), Operator("b", (0, 1), (2,), is_view=True), Operator("c", (2,), (3,)))
    plan = litert_plan(Computation("c", values, steps))
    assert plan.offsets[2] is None
    assert plan.needed_bytes == 128 + 64 + 64


@pytest.mark.parametrize(
    ("placed", "size", "expected"),
    [
        ([(128, 9), (64, 1), (64, 9)], 64, 128),
        ([(128, 9), (64, 1), (64, 9)], 65, 256),
        ([(64, 9), (256, 1), (64, 9), (128, 1), (64, 9)], 100, 384),
        ([(64, 9), (128, 1), (64, 9), (256, 1), (64, 9)], 100, 64),
        ([(32, 9), (64, 1), (32, 9), (64, 1), (64, 9)], 64, 192),
    ],
    ids=[
        "a gap that is free by then",
        "too large for the gap",
        "the second is smaller",
        "the first is smaller",
        "equal",
    ],
)
def test_where_the_last_goes(placed, size, expected):
    """Sizes that lie one behind the other from step 0 on, until step 1 or 9; the last is there in steps 2 and 3."""
    laid = [Lifetime(size_bytes, 0, last, stays=True) for size_bytes, last in placed]
    assert lay([*laid, Lifetime(size, 2, 3)])[-1] == expected


@given(lifetimes)
def test_nothing_overlaps_and_everything_is_aligned(given_lifetimes):
    offsets = lay(given_lifetimes)
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in offsets)
    for i, (low, one) in enumerate(zip(offsets, given_lifetimes, strict=True)):
        for other_low, other in zip(offsets[:i], given_lifetimes[:i], strict=True):
            apart = one.last < other.first or other.last < one.first
            assert apart or low + one.size_bytes <= other_low or other_low + other.size_bytes <= low


def test_of_equal_ones_the_earlier_goes_first_and_in_one_step_the_last():
    assert lay([Lifetime(64, 1, 5), Lifetime(64, 0, 5)]) == [64, 0]
    assert lay([Lifetime(64, 1, 5), Lifetime(64, 1, 5)]) == [64, 0]
    assert lay([Lifetime(64, 0, 5, stays=True), Lifetime(64, 0, 5, stays=True)]) == [0, 64]


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8), st.integers(0, 1000))
def test_what_is_needed_is_what_lives(sizes, workspace):
    computation = chain(*sizes, workspace=workspace)
    plan = litert_plan(computation)
    assert plan.needed_bytes == live_bytes(computation)
    assert plan.arena_bytes >= plan.needed_bytes


def test_what_nobody_reads_is_gone_after_its_step():
    values = (Value("x", 64, is_input=True), Value("unread", 640), Value("y", 640), Value("z", 64, is_output=True))
    steps = (Operator("a", (0,), (1,)), Operator("b", (0,), (2,)), Operator("c", (2,), (3,)))
    plan = litert_plan(Computation("c", values, steps))
    assert plan.offsets == (640, 0, 0, 640)
    assert plan.needed_bytes == 704


def test_nothing_needs_no_place():
    assert lay([Lifetime(64, 0, 5), Lifetime(0, 0, 5)]) == [0, 0]
