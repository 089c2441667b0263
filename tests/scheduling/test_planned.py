"""The record of an order: what was, what is, why it is best, and where everything lies."""

import pytest

from microjoule.errors import SettingError
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.planned import planned


def branches(workspace=0):
    """x -> a (40) -> c (2), x -> b (30) -> d (2), written side by side."""
    sizes = {"x": 4, "a": 40, "b": 30, "c": 2, "d": 2}
    values = tuple(Value(name, size, name == "x", name in "cd") for name, size in sizes.items())
    operators = (
        Operator("make a", (0,), (1,)),
        Operator("make b", (0,), (2,)),
        Operator("make c", (1,), (3,), workspace_bytes=workspace),
        Operator("make d", (2,), (4,)),
    )
    return Computation("branches", values, operators)


def test_a_record_by_hand():
    order, record = planned(branches(), sizes="on paper")
    assert order in ((0, 2, 1, 3), (1, 3, 0, 2))
    assert (record.before.peak_bytes, record.after.peak_bytes, record.bound_bytes) == (74, 46, 46)
    assert [moment.size_bytes for moment in record.before.steps] == [44, 74, 72, 34]
    assert record.optimal
    assert record.sizes == "on paper"
    assert (record.arena_bytes, record.arena_bound_bytes) == (46, 46)
    assert {value for one in record.arena for value in one.values} == {"x", "a", "b", "c", "d"}


def test_a_workspace_is_named_where_it_limits():
    _, record = planned(branches(workspace=100), sizes="on paper")
    assert record.limit.operator == "make c"
    assert ("its workspace", 100) in [(one.value, one.size_bytes) for one in record.limit.values]
    assert sum(one.size_bytes for one in record.limit.values) == record.limit.size_bytes == record.bound_bytes


def test_an_order_that_is_best_is_kept():
    computation = branches().in_order((1, 3, 0, 2))
    order, record = planned(computation, sizes="on paper")
    assert order == (0, 1, 2, 3)
    assert record.before == record.after


def test_a_negative_time_is_refused():
    with pytest.raises(SettingError, match="seconds: is -1"):
        planned(branches(), sizes="on paper", seconds=-1)
