from dataclasses import replace

import pytest

from microjoule.records.decided import Tried
from microjoule.report.attempts import amount, attempts_plot, attempts_table, outcome
from tests.report.samples import reached

FAILED = Tried("a<b>", (), (), None, None, None, 0.5, "cannot be made: x has no norm")


def texts(record):
    table = attempts_table(record)
    assert all(len(row) == len(table.columns) for row in table.rows)
    return [[cell.text for cell in row] for row in table.rows]


def test_a_row_says_what_was_lost_gained_and_spent():
    first, second = texts(reached())
    assert first[:6] == ["naive", "8", "8", "1.69 %", "78.00 ± 1.63 points", "–"]
    assert second[3:] == [
        *("79.23 %", "0.46 ± 0.70 points", "+77.54 points", "310 µJ", "0.16×", "12.4 s"),
        "within the drop that is allowed, as measured",
    ]
    assert [row[4].tone for row in attempts_table(reached()).rows] == ["bad", "good"]


def test_the_gain_is_over_the_best_so_far():
    worse = Tried("worse", (4, 8), (8,), 0.69, 79.0, 3.1e8, 1.0, "")
    record = reached()
    rows = texts(replace(record, attempts=(record.attempts[0], worse, FAILED, record.attempts[1])))
    assert [row[5] for row in rows] == ["–", "−1.00 points", "–", "+77.54 points"]
    assert rows[1][1] == "4, 8"


def test_what_could_not_be_made_has_a_row_and_no_bar_for_its_drop():
    record = replace(reached(), attempts=(FAILED, *reached().attempts))
    assert texts(record)[0][3:8] == ["–"] * 5
    drop, time = (choice.figure["data"] for choice in attempts_plot(record).choices)
    assert drop[0]["customdata"] == ["data-free", "naive"]
    assert time[0]["customdata"][-1] == "a&lt;b&gt;"


def test_the_line_is_the_drop_that_is_allowed_and_the_one_taken_stands_out():
    bars, lines, labels, line = attempts_plot(reached()).choices[0].figure["data"]
    assert (bars["x"], line["x"], line["y"]) == ([0.46, 78.0], [1.0, 1.0], [-0.6, 1.6])
    assert bars["marker"]["color"] == ["@after", "@after-soft"]
    # a drop of 0.46 is -0.98 to 1.90, one of 78.00 is 74.61 to 81.15
    assert lines["error_x"]["array"] == [pytest.approx(1.44), pytest.approx(3.15)]
    assert lines["error_x"]["arrayminus"] == [pytest.approx(1.44), pytest.approx(3.39)]
    assert labels["x"] == [pytest.approx(1.90), pytest.approx(81.15)]


def test_each_cost_has_its_words():
    units = {"pJ": "2.00 nJ", "B": "2.00 kB", "BOPs": "2.00 k", "ms": "2.00 s"}
    assert {unit: amount(2000, replace(reached(), cost_unit=unit)) for unit in units} == units


ALLOWED = (
    "Top-1 accuracy may drop by 1.00 points: data-free is the first within the drop, of 2 attempts, on 650 samples."
)
OTHERS = "On others, that nothing was chosen by, data-free W8A8 drops by "
COSTS = "It takes 310 µJ of energy instead of 1.90 mJ."


def test_the_outcome_is_told_of_the_samples_that_nothing_was_chosen_by():
    assert outcome(reached()) == (
        f"{ALLOWED} {OTHERS}0.62 ± 0.71 points, 8 won, 12 lost of 650: the drop that is allowed is kept as measured, "
        f"but undecided; about 8,900 samples would decide. {COSTS}"
    )


def test_without_others_the_outcome_is_that_of_the_attempt():
    assert outcome(replace(reached(), confirmed=None)) == (
        f"{ALLOWED} data-free W8A8 drops by 0.46 ± 0.70 points, at 310 µJ of energy instead of 1.90 mJ."
    )


@pytest.mark.parametrize(
    ("changes", "found", "words"),
    [
        ({"met": True}, {"low": -0.9, "high": 0.3}, "the drop that is allowed is kept"),
        ({"met": False}, {"low": -3.0, "high": -1.1}, "the drop that is allowed is not kept"),
        (
            {"met": False},
            {"low": -3.0, "high": -0.9},
            "the drop that is allowed is not kept as measured, but undecided; about 8,900 samples would decide",
        ),
        (
            {"samples_to_decide": 600},
            {},
            "the drop that is allowed is kept as measured, but undecided",
        ),
        (
            {},
            {"standard_error": None, "low": None, "high": None, "method": "the metric gives no scores of samples"},
            "the drop that is allowed is kept as measured, but undecided, as the metric gives no scores of samples",
        ),
    ],
    ids=["kept", "not kept", "undecided", "near", "unknown"],
)
def test_whether_the_drop_is_kept_is_told_with_its_doubt(changes, found, words):
    record = reached()
    record = replace(record, confirmed=replace(record.confirmed, **found), **changes)
    assert outcome(record).endswith(f"of 650: {words}. {COSTS}")
