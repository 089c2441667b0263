"""Compression, drawn: costs before and after, the ways that were tried, a line for each layer or group."""

from dataclasses import replace

import pytest

from microjoule.report.compression_plots import COLOURS, bearing_plot, layers_plot, ways_plot
from tests.report.samples import compressed, compression_sensitivity


def test_each_layer_has_what_it_cost_and_what_is_left():
    figure = layers_plot(compressed()).choices[0].figure
    before, after = figure["data"]
    assert (before["y"], after["y"]) == ([2e6, 4e6, 4e6], [1.5e6, 1e6, 2.5e6])
    assert before["customdata"] == after["customdata"] == ["stem.conv", "block.0", "head"]
    assert after["text"] == [
        "3 to 24 channels",
        "24 to 64 channels, spatial, rank 12",
        "64 to 1000 channels, output, rank 40",
    ]
    assert figure["layout"]["yaxis"]["title"]["text"] == "MACs"


def test_the_way_that_was_taken_stands_out():
    (trace,) = ways_plot(compressed()).choices[0].figure["data"]
    assert (trace["x"], trace["y"]) == ([100.0, 70.0], [74.5, 76.25])
    assert trace["text"] == ["foreseen loss 0.250", "foreseen loss 0.125"]
    assert trace["marker"] == {"color": ["@quiet", "@after"], "size": [8, 13]}


def test_each_layer_or_group_has_a_line_of_each_measure():
    plot = bearing_plot(compression_sensitivity())
    assert [choice.label for choice in plot.choices] == [
        "Top-1 accuracy, low rank",
        "Top-1 accuracy, channels",
        "foreseen loss, low rank",
        "foreseen loss, channels",
    ]
    stem, head, original = plot.choices[0].figure["data"]
    assert (stem["name"], stem["x"], stem["y"]) == ("stem.conv", [30.0, 60.0], [60.0, 75.0])
    assert stem["text"] == ["spatial rank 2", "spatial rank 4"]
    assert (head["x"], head["y"]) == ([25.0], [78.5])
    assert (original["name"], original["y"]) == ("original", [79.69, 79.69])
    (group,) = plot.choices[3].figure["data"]
    assert (group["x"], group["y"], group["text"]) == ([50.0, 75.0], [0.25, 0.0], ["32 of 64 units", "48 of 64 units"])
    assert [choice.figure["layout"]["yaxis"].get("type") for choice in plot.choices] == [None, None, "log", "log"]
    titles = [choice.figure["layout"]["xaxis"]["title"]["text"] for choice in plot.choices[:2]]
    assert [title.split()[0] for title in titles] == ["MACs", "units"]


def test_without_a_metric_only_what_is_foreseen_is_drawn():
    record = compression_sensitivity()
    rows = tuple(replace(row, value=None) for row in record.rows)
    plot = bearing_plot(replace(record, metric="", value=None, rows=rows))
    assert [choice.label for choice in plot.choices] == ["foreseen loss, low rank", "foreseen loss, channels"]


@pytest.mark.parametrize(("unit", "title"), [("%", "Top-1 accuracy (%)"), ("", "Top-1 accuracy")], ids=["unit", "none"])
def test_the_metric_is_named_with_its_unit(unit, title):
    for plot in (
        bearing_plot(replace(compression_sensitivity(), unit=unit)),
        ways_plot(replace(compressed(), unit=unit)),
    ):
        assert plot.choices[0].figure["layout"]["yaxis"]["title"]["text"] == title


def test_many_lines_are_told_apart_by_dashes():
    record = compression_sensitivity()
    rows = tuple(replace(record.rows[0], name=f"layer{at}") for at in range(COLOURS + 1))
    *_, before_last, last, _ = bearing_plot(replace(record, rows=rows)).choices[0].figure["data"]
    assert (before_last["line"]["dash"], last["line"]["dash"]) == ("solid", "dash")
    assert (before_last["marker"]["symbol"], last["marker"]["symbol"]) == ("circle", "square")
