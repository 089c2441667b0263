import pytest

from microjoule.records.measured import Evaluated
from microjoule.report.deployment import agreements, outputs_table
from microjoule.report.tables import (
    MISSING,
    amounts,
    change_to_float,
    evaluations,
    files,
    measurements,
    metrics,
    tone,
)
from tests.report.samples import records


def evaluated(stage, value, **changes):
    settings = {"metric": "top-1", "unit": "%", "samples": 1000, "data": "photos", "seconds": 2.0, **changes}
    return Evaluated(stage=stage, value=value, **settings)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_stages_of_one_metric_by_hand():
    table = evaluations([evaluated("fp32", 80.0), evaluated("int8", 79.25)])
    assert table.title == "top-1 on photos"
    assert texts(table) == [
        ["fp32", "80.00 %", "–", "1,000", "2.00 s"],
        ["int8", "79.25 %", "\N{MINUS SIGN}0.75 points", "1,000", "2.00 s"],
    ]
    assert table.rows[1][2].value == pytest.approx(-0.75)


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
    assert change_to_float(history[1], groups[1]) is None


@pytest.mark.parametrize(
    ("change", "settings", "verdict"),
    [
        (None, {}, ""),
        (-0.9, {}, ""),
        (-1.1, {}, "bad"),
        (0.1, {}, "good"),
        (1.1, {"higher_is_better": False}, "bad"),
        (-1.1, {"higher_is_better": False}, "good"),
        (-0.2, {"unit": "dB"}, ""),
        (-0.4, {"unit": "dB"}, "bad"),
    ],
)
def test_more_than_a_point_worse_is_bad(change, settings, verdict):
    assert tone(change, evaluated("int8", 30.0, **settings)) == verdict


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
