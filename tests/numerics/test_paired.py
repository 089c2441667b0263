"""The statistics of two networks on the same samples: by hand, by law, and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from microjoule.numerics.paired import (
    interval,
    interval_of_counts,
    pseudo_values,
    reached,
    samples_to_decide,
    sign_test,
    standard_error,
)

numbers = st.floats(-1e3, 1e3)


def test_the_standard_error_by_hand():
    # mean 1, squares of deviations 9 + 1 + 1 + 9 = 20: sqrt(20 / 3 / 4)
    assert standard_error([4.0, 0.0, 2.0, -2.0]) == pytest.approx(math.sqrt(5 / 3))


def test_of_right_and_wrong_it_is_that_of_the_samples_that_differ():
    """s^2 = (won + lost - (won - lost)^2 / n) / (n (n - 1)), in shares."""
    won, lost, n = 9, 12, 650
    differences = [1.0] * won + [-1.0] * lost + [0.0] * (n - won - lost)
    assert standard_error(differences) == pytest.approx(math.sqrt((21 - 9 / n) / (n * (n - 1))))
    assert 100 * standard_error(differences) == pytest.approx(0.7053, abs=1e-4)


def test_one_sample_has_no_error():
    assert math.isnan(standard_error([3.0]))
    assert reached(1) == math.inf


@given(st.lists(numbers, min_size=2, max_size=20), numbers)
def test_what_all_samples_share_does_not_count(values, shift):
    moved = standard_error([value + shift for value in values])
    assert moved == pytest.approx(standard_error(values), abs=1e-9)


def test_an_interval_reaches_two_errors_and_more_for_few():
    assert interval(-0.5, 0.25, 1000) == (-1.0, 0.0)
    assert reached(5) == pytest.approx(2.7764, abs=1e-4)  # Student's t, four degrees of freedom
    assert reached(61) == pytest.approx(2.0003, abs=1e-4)
    assert reached(62) == 2.0


def test_the_interval_of_counts_by_hand():
    # half a sample in each cell: 9.5 and 12.5 of 652
    low, high = interval_of_counts(9, 12, 650)
    error = math.sqrt(22 - 9 / 652) / 652
    assert ((low + high) / 2, (high - low) / 2) == (pytest.approx(-3 / 652), pytest.approx(2 * error))


def test_samples_that_all_agree_leave_room_for_a_difference():
    """Of n samples without any that differs, three in n may (the rule of three): two at least are covered."""
    low, high = interval_of_counts(0, 0, 650)
    assert -low == high == pytest.approx(2 / 652)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(600, 2000))
def test_a_difference_beyond_the_interval_is_beyond_two_plain_errors(won, lost, n):
    low, high = interval_of_counts(won, lost, n)
    if low > 0 or high < 0:
        plain = math.sqrt((won + lost - (won - lost) ** 2 / n) / (n * (n - 1)))
        assert abs(won - lost) / n > 2 * plain


@pytest.mark.parametrize("differing", [0.005, 0.02, 0.1])
def test_equal_networks_are_told_apart_once_in_twenty_at_most(differing):
    n, alarms = 650, 0.0
    for count in range(int(n * differing * 4) + 10):
        for won in range(count + 1):
            low, high = interval_of_counts(won, count - won, n)
            if low > 0 or high < 0:
                alarms += binom.pmf(count, n, differing) * binom.pmf(won, count, 0.5)
    assert 0.0 < alarms < 0.05


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_that_of_scipy(won, lost):
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert sign_test(won, lost) == pytest.approx(expected)


def test_the_sign_test_by_hand():
    assert sign_test(0, 5) == 2 / 32
    assert sign_test(3, 3) == 1.0


def test_how_many_samples_decide_by_hand():
    # -0.4 +- 0.5 on 650: (2 * 0.5 / 0.4)^2 = 6.25 times as many
    assert samples_to_decide(-0.4, 0.5, 650) == 4063
    assert samples_to_decide(0.4, 0.5, 650, margin=1.0) == 1806
    assert samples_to_decide(1.0, 0.5, 650, margin=1.0) is None
    assert samples_to_decide(0.4, math.nan, 650) is None
    assert samples_to_decide(5.0, 0.0, 650) == 2


@given(st.floats(-5, 5), st.floats(0.01, 2), st.integers(2, 10**5), st.floats(-2, 2))
def test_so_many_samples_decide_and_fewer_do_not(difference, error, samples, margin):
    needed = samples_to_decide(difference, error, samples, margin=margin)
    if needed is None:
        assert abs(difference - margin) < 2 * error * math.sqrt(samples / 1e12) * (1 + 1e-9)
        return
    distance = abs(difference - margin)
    assert 2 * error * math.sqrt(samples / needed) <= distance * (1 + 1e-9)
    assert needed == 2 or 2 * error * math.sqrt(samples / (needed - 1)) > distance * (1 - 1e-9)


@given(st.lists(numbers, min_size=2, max_size=12))
def test_the_pseudo_values_of_a_mean_are_the_scores(scores):
    n, total = len(scores), sum(scores)
    without = [(total - score) / (n - 1) for score in scores]
    assert pseudo_values(total / n, without) == pytest.approx(scores, abs=1e-8)


def test_the_jackknife_finds_the_error_of_a_ratio():
    """A ratio of sums has an error in closed form, to first order: residuals over the mean of the denominator."""
    draws = np.random.default_rng(0)
    x = draws.uniform(1, 2, 400)
    y = 3 * x + draws.normal(0, 0.5, 400)
    ratio = y.sum() / x.sum()
    without = [(y.sum() - b) / (x.sum() - a) for a, b in zip(x, y, strict=True)]
    expected = np.std(y - ratio * x, ddof=1) / x.mean() / 20
    assert standard_error(pseudo_values(ratio, without)) == pytest.approx(expected, rel=0.01)
