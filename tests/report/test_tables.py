from dataclasses import replace

import pytest

from microjoule.records.measured import Evaluated
from microjoule.report.deployment import agreements, outputs_table
from microjoule.report.tables import (
    MISSING,
    amounts,
    evaluations,
    files,
    measurements,
    metrics,
)
from tests.report.samples import compared, records


def evaluated(stage, value, **changes):
    settings = {"metric": "top-1", "unit": "%", "samples": 1000, "data": "photos", "seconds": 2.0, **changes}
    return Evaluated(stage=stage, value=value, **settings)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_stages_of_one_metric_by_hand():
    table = evaluations([evaluated("fp32", 80.0), evaluated("int8", 79.25)])
    assert table.title == "top-1 on photos"
    assert texts(table) == [
        ["fp32", "80.00 %", "–", "–", "–", "–", "1,000", "2.00 s"],
        ["int8", "79.25 %", "−0.75 points", "–", "–", "error unknown", "1,000", "2.00 s"],
    ]
    assert table.rows[1][2].value == pytest.approx(-0.75)


def test_a_difference_has_its_error_and_says_what_it_shows():
    found = compared(-0.75, 0.3, (9, 17), (-1.35, -0.15), stage="int8")
    table = evaluations([evaluated("fp32", 80.0), evaluated("int8", 79.25, compared=found)])
    assert [column.title for column in table.columns][2:6] == ["to FP32", "won", "lost", "seen"]
    assert texts(table)[1][2:6] == ["−0.75 ± 0.30 points", "9", "17", "worse"]
    assert table.rows[1][2].tone == "bad"


def test_what_is_compared_with_another_is_not_shown_as_compared_with_fp32():
    found = replace(compared(-0.75, 0.3, (9, 17), (-1.35, -0.15), stage="int8"), reference="int16")
    assert texts(evaluations([evaluated("int8", 79.25, compared=found)])) == [["int8", "79.25 %", "1,000", "2.00 s"]]
    both = texts(evaluations([evaluated("fp32", 80.0), evaluated("int8", 79.25, compared=found)]))
    assert both[1][2:6] == ["−0.75 points", "–", "–", "error unknown"]


@pytest.mark.parametrize(("stage", "title"), [("fp32", "to FP32"), ("original", "to the original")])
def test_the_change_is_to_what_the_others_were_made_from(stage, title):
    table = evaluations([evaluated(stage, 80.0), evaluated("compressed", 81.0)])
    assert table.columns[2].title == title
    assert [row[2].text for row in table.rows] == ["–", "+1.00 points"]


def test_without_fp32_there_is_nothing_to_compare_with():
    table = evaluations([evaluated("int8", 79.25), evaluated("int4", 70.0)])
    assert [column.title for column in table.columns] == ["stage", "top-1", "samples", "time"]
    assert texts(table) == [["int8", "79.25 %", "1,000", "2.00 s"], ["int4", "70.00 %", "1,000", "2.00 s"]]


def test_metrics_are_compared_only_on_the_same_data():
    history = [evaluated("fp32", 80.0), evaluated("int8", 30.0, data="other"), evaluated("int8", 9.0, metric="top-5")]
    groups = metrics(history)
    assert [len(group) for group in groups] == [1, 1, 1]
    assert [column.title for column in evaluations(groups[1]).columns] == ["stage", "top-1", "samples", "time"]


def test_amounts_share_the_prefix_of_the_largest():
    unit, cells = amounts([2e-6, None, 5e-7], "J", bars=True)
    assert unit == "µJ"
    assert [cell.text for cell in cells] == ["2.00", "–", "0.50"]
    assert [cell.share for cell in cells] == [1.0, None, 0.25]
    assert cells[1] is MISSING


def test_amounts_of_nothing_have_no_bars():
    assert amounts([0.0, 0.0], "J", bars=True)[1][0].share is None
    assert amounts([], "B") == ("B", [])


def test_files_and_measurements_of_the_sample_run():
    assert [row[3] for row in texts(files(records()))] == ["14.0 MB", "3.66 MB"]
    assert [row[5] for row in texts(files(records()))] == ["–", "97.78 %"]
    assert [row[2:4] for row in texts(measurements(records()))] == [
        ["11.3 ms", "11.1 ms to 12.1 ms"],
        ["4.87 ms", "4.80 ms to 5.20 ms"],
    ]
    assert files([]).rows == measurements([]).rows == ()


def test_every_row_has_a_cell_for_every_column():
    history = records()
    for table in (
        agreements(history),
        outputs_table(history),
        files(history),
        measurements(history),
        *map(evaluations, metrics(history)),
    ):
        assert all(len(row) == len(table.columns) for row in table.rows)
