from dataclasses import replace

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
    assert first[:6] == ["naive", "8", "8", "1.69 %", "78.00 points", "–"]
    assert second[3:] == [
        *("79.23 %", "0.46 points", "+77.54 points", "310 µJ", "0.16×", "12.4 s"),
        "within the drop that is allowed",
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
    bars, line = attempts_plot(reached()).choices[0].figure["data"]
    assert (bars["x"], line["x"], line["y"]) == ([0.46, 78.0], [1.0, 1.0], [-0.6, 1.6])
    assert bars["marker"]["color"] == ["@after", "@after-soft"]


def test_each_cost_has_its_words():
    units = {"pJ": "2.00 nJ", "B": "2.00 kB", "BOPs": "2.00 k", "ms": "2.00 s"}
    assert {unit: amount(2000, replace(reached(), cost_unit=unit)) for unit in units} == units


def test_the_outcome_is_told():
    assert outcome(reached()) == (
        "Top-1 accuracy may drop by 1.00 points: data-free is the first within the drop, of 2 attempts. "
        "data-free W8A8 drops by 0.46 points, at 310 µJ of energy instead of 1.90 mJ."
    )
