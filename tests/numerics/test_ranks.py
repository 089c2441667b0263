"""Rank correlation: by hand, by law, and where there is no order."""

import math

import pytest

from microjoule.numerics.ranks import rank_correlation


def test_by_hand():
    # ranks 1 2 3 4 and 2 1 3 4: 1 - 6 (1 + 1) / (4 (16 - 1))
    assert rank_correlation([1, 2, 3, 4], [20, 10, 30, 40]) == pytest.approx(0.8)


def test_only_the_order_counts():
    assert rank_correlation([1, 2, 3], [1e-9, 5.0, math.inf]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3.0, 2.0, -math.inf]) == pytest.approx(-1)


@pytest.mark.parametrize("first", [[], [1.0], [2.0, 2.0], [1.0, math.nan]], ids=str)
def test_without_an_order_there_is_none(first):
    assert rank_correlation(first, list(range(len(first)))) is None
    assert rank_correlation(list(range(len(first))), first) is None
