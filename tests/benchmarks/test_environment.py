"""What is run to make an environment and in it, and what is told where that fails: nothing is installed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.environment import environment, run_module
from microjoule.errors import FileError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked(monkeypatch):
    """All commands with their settings; none fails."""
    found = []

    def run(command, **settings):
        found.append((command, settings))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return found


def failing(monkeypatch, stderr, *, at=0):
    """Let each command from one on fail."""
    codes = iter([0] * at + [1] * 9)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=next(codes), stderr=stderr))


def test_an_environment_holds_the_project_tools_without_their_needs_and_packages(asked, tmp_path):
    python = environment(tmp_path / "venv", ("tool==1", "second"), ("need", "other"))
    assert python == tmp_path / "venv" / "bin" / "python"
    (made, *installed), pip = [command for command, _ in asked], [str(python), "-m", "pip", "install"]
    assert made == [sys.executable, "-m", "venv", str(tmp_path / "venv")]
    assert [command[:4] for command in installed] == [pip] * 3
    assert [command[command.index("constraints.txt") + 1 :] for command in installed] == [
        ["."],
        ["--no-deps", "tool==1", "second"],
        ["need", "other"],
    ]
    assert {settings["cwd"] for _, settings in asked} == {ROOT}


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(("stderr", "said"), [("a\nno such package\n", "no such package"), ("", "no message")])
def test_an_environment_that_cannot_be_made_is_one_clear_error(monkeypatch, tmp_path, stderr, said, at):
    failing(monkeypatch, stderr, at=at)
    with pytest.raises(FileError, match=f"venv: tool==1 cannot be installed: {said}\n  look at the package index"):
        environment(tmp_path / "venv", ("tool==1", "second"), ("need",))


def test_a_module_runs_in_the_environment_and_its_result_is_read(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("KEPT", "1")
    (tmp_path / "a.json").write_text('{"seconds": 2}')
    given = {"python": Path("/venv/python"), "module": "benchmarks.one", "words": ("a", "b")}
    assert run_module(**given, result=tmp_path / "a.json", place="a") == {"seconds": 2}
    run_module(**given, result=tmp_path / "a.json", place="a", variables={"OMP_NUM_THREADS": "7"})
    assert [command for command, _ in asked] == [["/venv/python", "-m", "benchmarks.one", "a", "b"]] * 2
    (_, plain), (_, alone) = asked
    assert (plain["cwd"], plain["env"]["KEPT"]) == (ROOT, "1")
    assert alone["env"] == plain["env"] | {"OMP_NUM_THREADS": "7"}


@pytest.mark.parametrize(("stderr", "said"), [("Traceback\nMemoryError", "MemoryError"), (" \n", "no message")])
def test_a_run_that_breaks_off_says_which_and_why(monkeypatch, tmp_path, stderr, said):
    failing(monkeypatch, stderr)
    told = f"a on b: did not come to its end: {said}\n  run benchmarks.one alone"
    with pytest.raises(FileError, match=told):
        run_module(Path("python"), "benchmarks.one", ("a",), tmp_path / "a.json", place="a on b")
