import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.records.facts import BiasesCorrected, BiasShift
from microjoule.report.bias_plots import BINS, Shifts, bias_histogram, bin_counts, root_mean_square


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)), st.floats(0.01, 100))
def test_no_value_is_lost(values, edge):
    assert sum(bin_counts(values, edge)) == len(values)


@given(st.lists(st.floats(-2, 2)))
def test_a_smaller_value_is_never_in_a_later_bin(values):
    places = [bin_counts([value], 1.0).index(1) for value in sorted(values)]
    assert places == sorted(places)


def test_bins_by_hand():
    counts = bin_counts([0.0, -1.0, 1.0, 5.0], 1.0)
    assert (counts[0], counts[BINS // 2], counts[-1]) == (1, 1, 2)


def test_root_mean_square_by_hand():
    assert root_mean_square([3.0, -4.0]) == pytest.approx(math.sqrt(12.5))
    assert root_mean_square([]) == 0.0


def test_all_layers_count_together_and_only_finite_shifts():
    shifts = (BiasShift("a", (0.5, math.nan), (0.1, 0.0)), BiasShift("b", (-0.25,), (math.inf,)))
    record = BiasesCorrected("noise", shifts, ())
    assert Shifts.of(record) == Shifts((0.5, -0.25), (0.1, 0.0))
    before, after = bias_histogram(record)["data"]
    assert (sum(before["y"]), sum(after["y"])) == (2, 2)
    assert max(before["x"]) < 0.5


def test_an_outlier_does_not_set_the_axis():
    record = BiasesCorrected("noise", (BiasShift("a", (*([0.1] * 999), 100.0), ()),), ())
    assert max(bias_histogram(record)["data"][0]["x"]) < 0.11


@pytest.mark.parametrize("values", [(), (0.0, 0.0)])
def test_nothing_and_zeros_have_an_axis_too(values):
    figure = bias_histogram(BiasesCorrected("noise", (BiasShift("a", values, values),), ()))
    assert len(figure["data"]) == (2 if values else 1)
    assert max(figure["data"][0]["x"]) == pytest.approx(1.0, abs=0.05)
