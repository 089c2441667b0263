"""Results go to a file and come back, and the page shows all of them."""

import json

import pytest

from benchmarks.figure import Figure
from benchmarks.results import Results, Timed, line, load, load_all, page, save
from microjoule.errors import FileError
from microjoule.records.measured import Machine

RESULTS = Results(
    "data_free",
    "data",
    "2026-01-02T03:04:05+00:00",
    Machine("a processor", 2, "Linux", "3.11.7", {"torch": "2.13.0"}),
    (
        Timed(Figure("top-1 below FP32", 0.46, "points", "<= 1.0", "FP32 71.9 %"), 12.34),
        Timed(Figure("latency | batch 1", 1.25, "x", "<= 1.0", "FP32"), 3.0),
        Timed(Figure("parameters", 3504872, "count"), 0.0),
        Timed(Figure("gap", 0.5, "points", "<= 1.0", "FP32", 0.5, (-0.5, 1.5), {"seeds": [0, 1]}), 1.0),
    ),
)


def test_a_line_is_json_with_all_that_is_promised():
    assert json.loads(line(RESULTS.figures[0])) == {
        "name": "top-1 below FP32",
        "value": 0.46,
        "unit": "points",
        "goal": "<= 1.0",
        "state": "met",
        "compared_with": "FP32 71.9 %",
        "seconds": 12.34,
    }
    assert "\n" not in line(RESULTS.figures[0])
    more = {"error": 0.5, "interval": [-0.5, 1.5], "evidence": {"seeds": [0, 1]}, "state": "undecided"}
    assert json.loads(line(RESULTS.figures[3])).items() >= more.items()


def test_results_from_before_there_were_errors_are_read():
    old = {"name": "f", "value": 1.0, "unit": "x", "goal": None, "compared_with": "", "met": None, "seconds": 2.0}
    assert Timed.from_dict(old) == Timed(Figure("f", 1.0, "x"), 2.0)


def test_results_come_back_as_they_were_saved(tmp_path):
    path = save(RESULTS, tmp_path / "new" / "folder")
    assert path.name == "data_free.json"
    assert load(path) == RESULTS


def test_saving_leaves_nothing_else_behind(tmp_path):
    save(RESULTS, tmp_path)
    save(RESULTS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data_free.json"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"figures": [], "machine": {}}', '{"figures": [{"name": "f"}], "machine": {}}']
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "data_free.json").write_text(content)
    with pytest.raises(FileError, match=r"data_free\.json: does not hold the results of a benchmark"):
        load_all(tmp_path)


def test_the_page_shows_every_figure_with_its_goal_and_where_it_was_measured():
    text = page([RESULTS])
    assert "## data_free" in text
    assert "| top-1 below FP32 | **0.46 points** | <= 1.0 | met | FP32 71.9 % | 12.3 |" in text
    assert "| latency \\| batch 1 | 1.25 x | <= 1.0 | missed | FP32 | 3.0 |" in text
    assert "| gap | 0.50 ± 0.50 points | <= 1.0 | undecided | FP32 | 1.0 |" in text
    assert "a processor, 2 cores, Linux, Python 3.11.7, torch 2.13.0." in text


def test_a_large_count_is_shown_in_full():
    assert "| parameters | 3,504,872 count |  |  |  | 0.0 |" in page([RESULTS])


def test_the_page_of_no_results_says_how_to_get_some():
    assert "python -m benchmarks --list" in page([])
