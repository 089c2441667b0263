import pytest

from microjoule.errors import GraphError
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.cut_out import cut_out

VALUES = (
    Value("x", 10, is_input=True),
    Value("a", 20),
    Value("b", 30),
    Value("c", 40, is_output=True),
    Value("d", 30),
    Value("y", 60, is_output=True),
)
WHOLE = Computation(
    "whole",
    VALUES,
    (
        Operator("make a", (0,), (1,), kind="conv"),
        Operator("make b", (1,), (2,), workspace_bytes=7),
        Operator("make c", (1, 2), (3,)),
        Operator("make d", (2,), (4,), inplace=2),
        Operator("make y", (3, 4), (5,)),
    ),
)


def test_a_part_by_hand():
    part = cut_out(WHOLE, range(1, 4), "part")
    assert part.name == "part"
    assert part.values == (
        Value("a", 20, is_input=True),
        Value("b", 30),
        Value("c", 40, is_output=True),
        Value("d", 30, is_output=True),
    )
    assert part.operators == (
        Operator("make b", (0,), (1,), workspace_bytes=7),
        Operator("make c", (0, 1), (2,)),
        Operator("make d", (1,), (3,), inplace=1),
    )


def test_all_of_it_is_the_whole():
    assert cut_out(WHOLE, [4, 3, 2, 1, 0]) == WHOLE


def test_a_part_may_have_holes():
    part = cut_out(WHOLE, [0, 2])
    assert [(one.name, one.is_input, one.is_output) for one in part.values] == [
        ("x", True, False),
        ("a", False, True),
        ("b", True, False),
        ("c", False, True),
    ]


@pytest.mark.parametrize("operators", [[], [5], [-1, 0]])
def test_operators_that_are_not_there_are_refused(operators):
    with pytest.raises(GraphError, match="whole: has 5 operators, and"):
        cut_out(WHOLE, operators)


def test_half_an_accumulation_is_refused():
    values = (Value("x", 10, is_input=True), Value("y", 10, is_output=True))
    whole = Computation("sum", values, (Operator("a", (0,), (1,)), Operator("b", (0,), (1,))))
    assert cut_out(whole, [0, 1]) == whole
    with pytest.raises(GraphError, match="y: is accumulated by operators inside and outside of the part"):
        cut_out(whole, [0])
