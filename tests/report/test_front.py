from dataclasses import replace

import pytest

from microjoule.report.front import front_plot, front_table
from tests.report.samples import pareto_front


def test_the_front_is_a_line_and_what_is_beaten_stands_apart():
    figure = front_plot(pareto_front()).choices[0].figure
    front, others, _, floating = figure["data"]
    assert (front["x"], front["y"], front["mode"]) == ([9.6e9, 1.9e10], [78.92, 79.54], "lines+markers")
    assert (others["x"], others["text"]) == ([1.2e10], ["1.2e10: 12.0 G"])
    assert (floating["x"], floating["y"]) == ([9.6e9, 1.9e10], [79.69, 79.69])
    assert figure["layout"]["xaxis"]["title"]["text"] == "bit operations (BOPs)"
    assert figure["layout"]["yaxis"]["title"]["text"] == "Top-1 accuracy (%)"


def test_without_a_beaten_point_there_is_no_trace_for_them():
    record = pareto_front()
    found = front_plot(replace(record, unit="", cost_unit="", points=record.points[:1])).choices[0].figure
    assert [trace.get("name") for trace in found["data"]] == ["on the front", None, "FP32"]
    assert found["layout"]["xaxis"]["title"]["text"] == "bit operations"


def test_the_table_tells_what_is_beaten():
    found = front_table(pareto_front())
    assert [column.title for column in found.columns][1:3] == ["bit operations", "Top-1 accuracy, 79.69 % before"]
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["W4A8", "9.60 G", "78.92 %", "−0.77 ± 0.80 points", "9", "14", "no difference seen", ""],
        ["1.2e10", "12.0 G", "78.77 %", *["–"] * 4, "beaten by another"],
        ["W8A8", "19.0 G", "79.54 %", "−0.15 ± 0.20 points", "0", "1", "no difference seen", ""],
    ]


def test_what_was_chosen_by_stands_beside_what_confirms_it():
    record = pareto_front()
    found = front_table(replace(record, points=tuple(replace(one, chosen_value=80.0) for one in record.points)))
    assert [column.title for column in found.columns][2:4] == ["chosen by", "Top-1 accuracy, 79.69 % before"]
    assert found.rows[0][2].text == "80.00 %"


def test_a_front_without_errors_has_no_columns_for_them():
    record = pareto_front()
    bare = replace(record, points=tuple(replace(one, compared=None) for one in record.points))
    assert [cell.text for cell in front_table(bare).rows[0]] == ["W4A8", "9.60 G", "78.92 %", ""]
    assert len(front_plot(bare).choices[0].figure["data"]) == 3


def test_a_point_has_the_interval_of_its_difference():
    lines = front_plot(pareto_front()).choices[0].figure["data"][2]
    assert (lines["x"], lines["y"]) == ([9.6e9, 1.9e10], [78.92, 79.54])
    assert lines["error_y"]["arrayminus"] == [pytest.approx(1.63), pytest.approx(0.55)]
    assert lines["error_y"]["array"] == [pytest.approx(1.67), pytest.approx(0.55)]
