import json
import math
from dataclasses import replace

import pytest
from plotly import graph_objects

from microjoule.records.facts import RangeFound
from microjoule.records.measured import ErrorsByLayer, Evaluated, LayerAgreement, LayerError, Verified
from microjoule.report.plots import (
    MOST_TICKS,
    activation_ranges,
    agreement_by_layer,
    errors_by_layer,
    evaluation_bars,
    finite,
    intervals,
    label,
    layer_axis,
    reach_of,
)
from microjoule.report.sections import sections
from tests.report.samples import NAIVE, records


def coloured(part):
    """A figure with a real colour in place of each name of one, as plotly's own check needs it."""
    if isinstance(part, str):
        return "#123456" if part.startswith("@") else part
    if isinstance(part, dict):
        return {key: coloured(value) for key, value in part.items()}
    return [coloured(item) for item in part] if isinstance(part, list) else part


PLOTS = [plot for section in sections(records()) for plot in section.plots]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_figure_is_valid_plotly_and_valid_json(plot):
    for choice in plot.choices:
        graph_objects.Figure(coloured(choice.figure))
        json.dumps(choice.figure, allow_nan=False)
        assert choice.figure["layout"]["height"] > 0


def test_names_of_plots_are_unique():
    assert len({plot.name for plot in PLOTS}) == len(PLOTS) == 16


def test_a_value_that_is_not_finite_is_a_gap():
    assert finite(math.inf) is finite(math.nan) is None
    assert finite(1.23456) == 1.235


def test_markup_in_a_name_is_shown_and_not_obeyed():
    assert label("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"


def test_a_long_axis_names_some_layers_and_cuts_at_a_word():
    names = [f"features.{index}.block.depthwise.conv" for index in range(3 * MOST_TICKS)]
    axis = layer_axis(names)
    assert len(axis["tickvals"]) == MOST_TICKS
    assert axis["tickvals"][:3] == [0, 3, 6]
    assert axis["ticktext"][1] == "…block.depthwise.conv"
    assert layer_axis(["<b>"])["ticktext"] == ["&lt;b&gt;"]
    assert layer_axis(["x" * 40])["ticktext"] == ["…" + "x" * 21]


def test_bars_of_stages_by_hand():
    group = [
        Evaluated(stage, "top-1", value, "%", 1, "d", 1.0) for stage, value in (("fp32", 80.0), ("a", 1.0), ("b", 79.0))
    ]
    bars, labels = evaluation_bars(group, "b")["data"]
    assert bars["x"] == labels["x"] == [79.0, 1.0, 80.0]
    assert labels["text"] == [" 79.00", " 1.00", " 80.00"]
    assert bars["marker"]["color"] == ["@after", "@after-soft", "@quiet"]
    assert evaluation_bars([Evaluated("a", "m", 0.0, "", 1, "d", 1.0)], None)["layout"]["xaxis"]["range"] == [0.0, 1.0]


def test_ranges_stand_on_their_low_end():
    ranges = (RangeFound("q", -1.0, 3.0, -0.5, 2.0),)
    grid, seen = activation_ranges(ranges, str.upper)["data"]
    assert (grid["base"], grid["y"]) == ([-1.0], [4.0])
    assert (seen["base"], seen["y"]) == ([-0.5], [2.5])
    assert grid["customdata"] == [["Q", -1.0, 3.0]]


def test_stages_of_errors_meet_at_the_same_layer():
    naive = ErrorsByLayer(1, (LayerError("b", 3.0),), "naive")
    good = ErrorsByLayer(1, (LayerError("a", 30.0), LayerError("b", math.inf)), "good")
    first, second = errors_by_layer([naive, good], str)["data"]
    assert (first["x"], first["y"]) == ([1], [3.0])
    assert (second["x"], second["y"]) == ([0, 1], [30.0, None])
    assert (first["line"]["color"], second["line"]["color"]) == ("@before", "@after")


@pytest.mark.parametrize(("share", "lowest"), [(1.0, 99.0), (0.5, 50.0), (math.nan, 99.0)])
def test_the_axis_of_agreement_always_has_room(share, lowest):
    record = Verified("r", "x", 1, (LayerAgreement("a", 1, share, 1.0, 50.0),), None, None)
    low, high = agreement_by_layer(record, str)["layout"]["yaxis"]["range"]
    assert low < lowest < 100 < high


def test_a_bar_has_the_interval_of_its_difference_at_its_end():
    group = [record for record in records() if isinstance(record, Evaluated)]
    _, lines, labels = evaluation_bars(group, None)["data"]
    assert (lines["x"], lines["y"]) == ([79.23, 1.69], [1, 2])  # from below: W4A8, W8A8, naive, FP32
    assert lines["error_x"]["array"] == [pytest.approx(1.44), pytest.approx(3.39)]
    assert lines["error_x"]["arrayminus"] == [pytest.approx(1.44), pytest.approx(3.15)]
    assert labels["x"] == [71.54, pytest.approx(80.67), pytest.approx(5.08), 79.69], "beyond the intervals"


def test_a_drop_turns_its_interval_round():
    assert reach_of(NAIVE) == reach_of(NAIVE, drops=True)[::-1] == (pytest.approx(3.15), pytest.approx(3.39))
    lower = replace(NAIVE, higher_is_better=False)
    assert reach_of(lower) == reach_of(lower, drops=True)
    assert reach_of(None) is reach_of(replace(NAIVE, low=None)) is None


def test_intervals_stand_along_either_axis():
    assert intervals([1.0], [2.0], [None], across="x") == []
    (trace,) = intervals([1.0, 3.0], [2.0, 4.0], [(0.5, 0.25), None], across="y")
    assert (trace["x"], trace["y"]) == ([2.0], [1.0])
    assert (trace["error_y"]["arrayminus"], trace["error_y"]["array"]) == ([0.5], [0.25])
