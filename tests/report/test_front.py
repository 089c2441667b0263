from dataclasses import replace

from microjoule.report.front import front_plot, front_table
from tests.report.samples import pareto_front


def test_the_front_is_a_line_and_what_is_beaten_stands_apart():
    figure = front_plot(pareto_front()).choices[0].figure
    front, others, floating = figure["data"]
    assert (front["x"], front["y"], front["mode"]) == ([9.6e9, 1.9e10], [78.92, 79.54], "lines+markers")
    assert (others["x"], others["text"]) == ([1.2e10], ["1.2e10: 12.0 G"])
    assert (floating["x"], floating["y"]) == ([9.6e9, 1.9e10], [79.69, 79.69])
    assert figure["layout"]["xaxis"]["title"]["text"] == "bit operations (BOPs)"
    assert figure["layout"]["yaxis"]["title"]["text"] == "Top-1 accuracy (%)"


def test_without_a_beaten_point_there_is_no_trace_for_them():
    record = pareto_front()
    found = front_plot(replace(record, unit="", cost_unit="", points=record.points[:1])).choices[0].figure
    assert [trace["name"] for trace in found["data"]] == ["on the front", "FP32"]
    assert found["layout"]["xaxis"]["title"]["text"] == "bit operations"


def test_the_table_tells_what_is_beaten():
    found = front_table(pareto_front())
    assert [column.title for column in found.columns][1:3] == ["bit operations", "Top-1 accuracy, 79.69 % before"]
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["W4A8", "9.60 G", "78.92 %", ""],
        ["1.2e10", "12.0 G", "78.77 %", "beaten by another"],
        ["W8A8", "19.0 G", "79.54 %", ""],
    ]
