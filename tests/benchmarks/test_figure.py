"""A figure knows whether its goal is met, and cannot hold nonsense."""

import math

import pytest

from benchmarks.figure import COMPARISONS, Figure, Goal
from microjoule.errors import SettingError


@pytest.mark.parametrize(
    ("goal", "below", "equal", "above"),
    [
        ("<= 1.0", True, True, False),
        ("< 1.0", True, False, False),
        (">= 1.0", False, True, True),
        ("> 1.0", False, False, True),
        ("== 1.0", False, True, False),
    ],
)
def test_a_goal_is_met_by(goal, below, equal, above):
    assert [Figure("f", value, "x", goal).met for value in (0.5, 1.0, 1.5)] == [below, equal, above]


def test_every_comparison_is_in_the_table_above():
    assert set(COMPARISONS) == {"<=", "<", ">=", ">", "=="}


@pytest.mark.parametrize(
    ("text", "bound"), [("<= 1", 1.0), ("<=1.5", 1.5), (" <= -2e-3 ", -0.002), ("<= .5", 0.5), ("<= +3.", 3.0)]
)
def test_a_goal_is_read_with_its_bound(text, bound):
    assert Goal.parse(text) == Goal("<=", bound)


@pytest.mark.parametrize("text", ["", "1.0", "=< 1", "<= one", "<= 1 ms", "<= nan", "about 1"])
def test_what_is_no_goal_is_refused(text):
    with pytest.raises(SettingError, match="is not a comparison with a number"):
        Figure("f", 1.0, "x", text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(SettingError, match=f"latency: the value is {value}"):
        Figure("latency", value, "ms", "<= 1")


def test_a_figure_without_a_goal_is_neither_met_nor_missed():
    assert Figure("f", 1.0, "x").met is None
