import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.live import live_at_start, live_values
from microjoule.scheduling.order import needs, order

CHAIN = Computation(
    "chain",
    (Value("x", 8, is_input=True), Value("a", 16), Value("flat", 16), Value("b", 16), Value("y", 4, is_output=True)),
    (
        Operator("a", (0,), (1,)),
        Operator("flat", (1,), (2,), is_view=True),
        Operator("b", (2,), (3,), inplace=2),
        Operator("y", (3, 0), (4,)),
    ),
)


@pytest.mark.parametrize(
    ("done", "operator", "expected"),
    [((), 0, ["x", "a"]), ((0, 1), 2, ["x", "a"]), ((0,), 2, ["x", "a"]), ((0, 1, 2), 3, ["x", "b", "y"])],
    ids=["first", "in place on a view", "the view left out", "last"],
)
def test_what_is_live_by_hand(done, operator, expected):
    assert [CHAIN.values[index].name for index in live_values(CHAIN, done, operator)] == expected


def test_inputs_that_are_used_are_live_at_the_start():
    assert live_at_start(CHAIN) == [0]
    given = [Value("unread", 8, is_input=True), Value("wanted", 8, is_input=True, is_output=True)]
    assert live_at_start(Computation("c", tuple(given), ())) == [1]
    assert live_at_start(
        Computation(
            "c",
            (Value("x", 1, is_input=True), Value("y", 1), Value("z", 1)),
            (Operator("y", (), (1,)), Operator("z", (0,), (2,))),
        )
    ) == [0]


def test_an_output_in_place_of_what_is_wanted_is_live_beside_it():
    values = (Value("x", 8, is_input=True, is_output=True), Value("y", 8, is_output=True))
    assert live_values(Computation("c", values, (Operator("y", (0,), (1,), inplace=0),)), (), 0) == [0, 1]


def test_an_output_that_another_operator_has_begun_is_not_in_place():
    values = (Value("x", 8, is_input=True), Value("y", 8, is_output=True))
    computation = Computation("c", values, (Operator("a", (), (1,)), Operator("b", (0,), (1,), inplace=0)))
    assert live_values(computation, (0,), 1) == [0, 1]


def test_what_nobody_reads_is_live_while_it_is_written_and_an_input_never():
    values = (Value("x", 8, is_input=True), Value("y", 8), Value("z", 8, is_output=True))
    computation = Computation("c", values, (Operator("y", (), (1,)), Operator("z", (), (2,))))
    assert live_values(computation, (), 0) == [1]
    assert live_values(computation, (0,), 1) == [2]


@st.composite
def computations(draw):
    """Trees of operators, some in place, with a workspace."""
    values, operators = [Value("v0", draw(st.integers(0, 9)), is_input=True)], []
    for index in range(1, draw(st.integers(2, 8))):
        inputs = sorted(draw(st.sets(st.integers(0, index - 1), min_size=1, max_size=3)))
        place = draw(st.sampled_from([None, *inputs]))
        largest = 9 if place is None else values[place].size_bytes
        values.append(Value(f"v{index}", draw(st.integers(0, largest)), is_output=draw(st.booleans())))
        operators.append(
            Operator(f"v{index}", tuple(inputs), (index,), inplace=place, workspace_bytes=draw(st.integers(0, 3)))
        )
    return Computation("drawn", tuple(values), tuple(operators))


@given(computations())
def test_what_is_live_with_the_workspace_is_what_an_operator_needs(computation):
    chosen = order(computation).order
    for step, (index, need) in enumerate(zip(chosen, needs(computation, chosen), strict=True)):
        live = live_values(computation, chosen[:step], index)
        total = sum(computation.values[value].size_bytes for value in live)
        assert total + computation.operators[index].workspace_bytes == need
