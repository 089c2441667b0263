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
    states = [Figure("f", value, "x", goal).state for value in (0.5, 1.0, 1.5)]
    assert states == ["met" if met else "missed" for met in (below, equal, above)]


@pytest.mark.parametrize(
    ("goal", "value", "state"),
    [
        ("<= 1.0", 0.5, "met"),
        ("<= 1.0", 0.7, "undecided"),
        ("<= 1.0", 1.3, "undecided"),
        ("<= 1.0", 1.6, "missed"),
        (">= 1.0", 1.6, "met"),
        (">= 1.0", 1.3, "undecided"),
        (">= 1.0", 0.4, "missed"),
        ("== 1.0", 1.3, "undecided"),
        ("== 1.0", 2.0, "missed"),
    ],
)
def test_within_two_errors_of_the_bound_nothing_is_decided(goal, value, state):
    assert Figure("f", value, "x", goal, error=0.25).state == state


def test_an_interval_decides_where_there_is_one():
    assert Figure("f", 0.5, "x", "<= 1.0", error=0.25, interval=(0.0, 1.01)).state == "undecided"
    assert Figure("f", 0.9, "x", "<= 1.0", error=0.25, interval=(0.8, 1.0)).state == "met"


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (Figure("f", 0.46154, "points", error=0.7053), "0.46 ± 0.71 points"),
        (Figure("f", 0.46154, "points"), "0.4615 points"),
        (Figure("f", 2.0, "points", error=0.0), "2.00 ± 0.00 points"),
        (Figure("f", 3504872.0, "count"), "3,504,872 count"),
    ],
)
def test_a_value_is_shown_with_its_error(figure, shown):
    assert figure.shown == shown


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
    assert Figure("f", 1.0, "x").state == ""
