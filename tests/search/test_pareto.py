import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.search.pareto import pareto_front

numbers = st.integers(0, 5).map(float) | st.floats(allow_nan=False)


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def test_the_front_by_hand():
    points = [(3.0, 1.0), (1.0, 4.0), (2.0, 2.0), (2.0, 3.0), (4.0, 1.0), (1.0, 5.0)]
    assert pareto_front(points) == (0, 2, 1)


def test_equal_points_stay_together():
    assert pareto_front([(1.0, 1.0), (0.0, 2.0), (1.0, 1.0), (2.0, 1.0)]) == (0, 2, 1)
    assert pareto_front([(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)]) == (1,)


def test_of_no_points_none_is_on_the_front():
    assert pareto_front([]) == ()


def test_an_infinite_loss_is_a_loss():
    assert pareto_front([(math.inf, 1.0), (math.inf, 2.0), (0.0, math.inf)]) == (0, 2)


@pytest.mark.parametrize("point", [(math.nan, 1.0), (1.0, math.nan)], ids=str)
def test_nan_is_refused(point):
    with pytest.raises(SettingError, match=r"point 1: is \(.*nan.*\)\n  leave it out"):
        pareto_front([(0.0, 0.0), point])


@given(st.lists(st.tuples(numbers, numbers), max_size=12))
def test_the_front_is_what_nothing_dominates(points):
    expected = [index for index, point in enumerate(points) if not any(dominates(other, point) for other in points)]
    assert sorted(pareto_front(points)) == expected


@given(st.lists(st.tuples(numbers, numbers), max_size=12))
def test_along_the_front_costs_rise_and_losses_fall(points):
    front = [points[index] for index in pareto_front(points)]
    assert [cost for _, cost in front] == sorted(cost for _, cost in front)
    assert [loss for loss, _ in front] == sorted((loss for loss, _ in front), reverse=True)
