"""A figure is printed as soon as it is known, and the table shows what the lines say."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.runner import left, run, summary, table

ONE = Figure("first", 1.0, "ms", "<= 2", "FP32")
TWO = Figure("second", 3.0, "ms", "<= 2", "FP32")


def test_a_figure_is_printed_before_the_next_is_measured(capfd):
    printed = []

    def figures(data):
        yield ONE
        printed.append(capfd.readouterr().out)
        yield TWO

    run("sample", SimpleNamespace(figures=figures), Path("data"))
    assert [json.loads(text)["name"] for text in printed] == ["first"]


def test_stdout_holds_one_line_of_json_a_figure_and_nothing_else(capfd):
    results = run("sample", SimpleNamespace(figures=lambda data: iter([ONE, TWO])), Path("somewhere/data"))
    captured = capfd.readouterr()
    assert [json.loads(text)["state"] for text in captured.out.splitlines()] == ["met", "missed"]
    assert "second" in captured.err
    assert [timed.figure for timed in results.figures] == [ONE, TWO]
    assert (results.benchmark, results.data) == ("sample", "data")


def test_the_seconds_of_a_figure_are_its_own(monkeypatch):
    clock = iter([10.0, 12.0, 100.0, 105.0, 200.0])
    monkeypatch.setattr("benchmarks.runner.time.perf_counter", lambda: next(clock))
    results = run("sample", SimpleNamespace(figures=lambda data: iter([ONE, TWO])), Path("data"))
    assert [timed.seconds for timed in results.figures] == [2.0, 5.0]


def test_a_benchmark_gets_the_data_folder():
    seen = []
    run("sample", SimpleNamespace(figures=lambda data: seen.append(data) or iter([])), Path("data"))
    assert seen == [Path("data")]


def test_the_table_shows_what_is_missed():
    console = Console(width=120, file=io.StringIO())
    console.print(table(run("sample", SimpleNamespace(figures=lambda data: iter([ONE, TWO])), Path("data"))))
    lines = console.file.getvalue().splitlines()
    rows = [[cell.strip() for cell in row.split("│")[1:5]] for row in lines if " ms " in row]
    assert rows == [["first", "1 ms", "<= 2", "met"], ["second", "3 ms", "<= 2", "missed"]]


def parts(*measured):
    made = [Part(f"part {at}", 10.0 * (at + 1), measure) for at, measure in enumerate(measured)]
    return SimpleNamespace(parts=lambda data: made)


def interrupted(kept):
    yield TWO
    raise KeyboardInterrupt


def test_a_benchmark_that_was_interrupted_goes_on_with_the_part_that_was_running(tmp_path, capfd):
    partial, asked = Partial(tmp_path / "work"), []

    def first(kept):
        asked.append(kept)
        yield ONE

    with pytest.raises(KeyboardInterrupt):
        run("sample", parts(first, interrupted), Path("data"), partial)
    results = run("sample", parts(first, lambda kept: [TWO]), Path("data"), partial)
    assert [timed.figure for timed in results.figures] == [ONE, TWO]
    assert asked == [partial]
    first_told, second_told = (line for line in capfd.readouterr().err.splitlines() if line.startswith("sample: "))
    assert first_told == "sample: 0 of 2 parts are done, about 30 minutes are left on two free cores"
    assert second_told == "sample: 1 of 2 parts are done, about 20 minutes are left on two free cores"


def test_where_nobody_knows_how_long_it_takes_nothing_is_said_of_it():
    assert left([Part("all", 0.0, lambda kept: [])], Partial()) == "0 of 1 parts are done"


@pytest.mark.parametrize(("doc", "expected"), [("What.\n\nMore.", "What."), ("What.", "What."), (None, "")])
def test_a_summary_is_the_first_line_of_the_docstring(doc, expected):
    assert summary(SimpleNamespace(__doc__=doc)) == expected
