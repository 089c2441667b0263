"""The command line: what it runs, writes, refuses, and answers to the shell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.figure import Figure
from benchmarks.partial_results import Part

ROOT = Path(__file__).parents[2]


def benchmark(*values: float) -> SimpleNamespace:
    """A benchmark whose figures have these values and the goal of at most 1."""
    figures = [Figure(f"figure {n}", value, "x", "<= 1") for n, value in enumerate(values)]
    return SimpleNamespace(figures=lambda data: iter(figures), __doc__="Measures a sample.\n\nMore.")


def interrupted(data):
    yield Figure("first", 1.0, "x")
    raise KeyboardInterrupt


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.delenv("MICROJOULE_DATA", raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images.zip").write_text("images")
    places = {"--data": "data", "--out": "out", "--docs": "page.md", "--partial": "partial"}
    return [word for option, place in places.items() for word in (option, str(tmp_path / place))]


def test_the_list_names_every_benchmark_and_what_it_measures(capsys):
    assert main(["--list"], {"sample": benchmark()}) == 0
    assert capsys.readouterr().out == "sample\tMeasures a sample.\n"


def test_every_benchmark_of_ours_says_what_it_measures():
    assert all((one.__doc__ or "").strip() for one in BENCHMARKS.values())


def test_the_named_ones_run_once_and_the_page_has_all_results(folders, tmp_path):
    benchmarks = {"a": benchmark(0.5), "b": benchmark(0.5), "c": benchmark(0.5)}
    assert main(["b", "b", *folders], benchmarks) == 0
    assert main(["a", *folders], benchmarks) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]
    page = (tmp_path / "page.md").read_text()
    assert page.count("## a\n") == page.count("## b\n") == 1


def test_all_runs_all(folders, tmp_path):
    assert main(["--all", *folders], {"a": benchmark(0.5), "b": benchmark(0.5)}) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]


def test_a_missed_goal_is_told_to_the_shell_and_written_all_the_same(folders, tmp_path):
    assert main(["a", *folders], {"a": benchmark(0.5, 2.0)}) == 1
    written = json.loads((tmp_path / "out" / "a.json").read_text())
    assert [figure["state"] for figure in written["figures"]] == ["met", "missed"]


def test_what_is_undecided_is_not_missed(folders):
    doubted = SimpleNamespace(figures=lambda data: iter([Figure("gap", 1.2, "x", "<= 1", error=0.5)]))
    assert main(["a", *folders], {"a": doubted}) == 0


def test_the_data_folder_may_be_named_by_the_environment(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROJOULE_DATA", str(tmp_path / "data"))
    assert main(["a", *folders[2:]], {"a": benchmark(0.5)}) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "benchmarks: none is named"),
        (["nothing"], "nothing: there is no such benchmark\n  choose from: a"),
        (["a"], "--data: no data folder is named"),
        (["a", "--data", "/no/such/folder"], "--data: /no/such/folder is not a folder"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(folders, capsys, arguments, expected):
    assert main(arguments, {"a": benchmark(0.5)}) == 2
    assert expected in capsys.readouterr().err


def test_an_interrupted_benchmark_writes_no_file_and_goes_on_where_it_was(folders, tmp_path, capsys):
    parts = [Part("one", 1, lambda kept: [Figure("first", 1.0, "x")]), Part("two", 1, lambda kept: interrupted(None))]
    assert main(["a", *folders], {"a": SimpleNamespace(parts=lambda data: parts)}) == 130
    assert "interrupted: the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    parts[1] = Part("two", 1, lambda kept: [Figure("second", 2.0, "x")])
    parts[0] = Part("one", 1, lambda kept: interrupted(None))
    assert main(["a", *folders], {"a": SimpleNamespace(parts=lambda data: parts)}) == 0
    written = json.loads((tmp_path / "out" / "a.json").read_text())
    assert [figure["name"] for figure in written["figures"]] == ["first", "second"]
    assert not list((tmp_path / "partial").iterdir())


@pytest.mark.slow
def test_the_command_runs_as_a_process():
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    environment = clean | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert [row.split("\t")[0] for row in done.stdout.splitlines()] == list(BENCHMARKS)
