"""Bars stand at the steps, the grid is shaded, and the quantizer that clips most is shown first."""

import pytest

from microjoule.records.analysed import GridHistogram, GridHistograms
from microjoule.report.histogram_plots import histogram, histograms_plot, most_clipped, used

FINE = GridHistogram("a", "weight", 2, -2, 1, 1, -4, (0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0), 0.0)
CLIPPED = GridHistogram("b", "activation", 8, 0, 255, 4, -128, (*[0.0] * 32, 0.5, *[0.0] * 63, *[0.5 / 32] * 32), 0.5)


def test_bars_stand_at_the_steps_and_the_grid_is_shaded():
    figure = histogram(FINE)
    (bars,) = figure["data"]
    assert bars["x"] == [-4, -3, -2, -1, 0, 1, 2, 3]
    assert bars["y"] == [0, 0, 25, 50, 25, 0, 0, 0]
    (grid,) = figure["layout"]["shapes"]
    assert (grid["x0"], grid["x1"]) == (-2.5, 1.5)


def test_a_bin_of_several_steps_stands_at_their_middle():
    (bars,) = histogram(CLIPPED)["data"]
    assert bars["x"][32] == 1.5
    assert bars["width"] == pytest.approx(3.68)


def test_how_much_of_a_grid_is_used():
    assert used(FINE) == 0.75
    assert used(CLIPPED) == 1 / 64


def test_what_clips_most_is_shown_first():
    plot = histograms_plot(GridHistograms(3, (FINE, CLIPPED)), str.upper)
    assert most_clipped((FINE, CLIPPED)) is CLIPPED
    assert (plot.chosen, [choice.label for choice in plot.choices]) == (1, ["A, weight", "B, activation"])
    assert "50" in plot.choices[1].figure["layout"]["xaxis"]["title"]["text"]
