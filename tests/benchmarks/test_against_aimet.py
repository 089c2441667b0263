"""What is told of both tools, by hand; the tools themselves run in the benchmark alone."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.against_aimet import figures, paired
from microjoule.errors import FileError


def test_what_only_one_gets_right_decides():
    (figure,) = paired([True, True, False, False, True], [True, False, True, True, True])
    assert (figure.value, figure.state) == (20.0, "met")
    assert figure.compared_with == (
        "AIMET 60.00%, microjoule 80.00% of 5 images; 2 only microjoule, 1 only AIMET, two-sided sign test p = 1"
    )


def test_fewer_right_miss_the_goal_and_equal_ones_meet_it():
    (worse,) = paired([True, True], [True, False])
    (same,) = paired([True, False], [True, False])
    assert (worse.state, same.state, same.value) == ("missed", "met", 0.0)


@pytest.fixture
def told(monkeypatch):
    """Stands for both tools: AIMET takes ten times as long, and as much memory."""
    found = {
        "seconds": 50.0,
        "above_bytes": 200_000_000,
        "peak_bytes": 900_000_000,
        "error": 0.004,
        "right": [True, False],
    }
    commands = []

    def run(command, **_):
        commands.append(command)
        if "benchmarks.aimet_run" in command:
            at = command.index("benchmarks.aimet_run")
            tool, task, place = command[at + 1], command[at + 2], command[-1]
            less = {"seconds": 5.0, "above_bytes": 20_000_000, "error": 0.005} if tool == "microjoule" else {}
            (Path(place) / f"{tool}-{task}.json").write_text(json.dumps(found | less))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_shares_are_of_aimet(told, tmp_path):
    values = {figure.name: (figure.value, figure.state) for figure in figures(tmp_path)}
    assert values == {
        "64x64x3x3 layer, time of AdaRound": (0.1, "met"),
        "64x64x3x3 layer, peak memory of AdaRound": (0.1, "met"),
        "64x64x3x3 layer, output error": (1.25, "missed"),
        "ResNet-20, time of AdaRound": (0.1, "met"),
        "ResNet-20, peak memory of AdaRound": (0.1, "met"),
        "ResNet-20 W4, accuracy above AIMET's": (0.0, "met"),
    }


def test_aimet_goes_first_since_its_grids_are_used(told, tmp_path):
    list(figures(tmp_path))
    tools = [command[3:5] for command in told if "benchmarks.aimet_run" in command]
    assert tools == [[tool, task] for task in ("layer", "network") for tool in ("aimet", "microjoule")]


def test_an_environment_that_cannot_be_made_names_the_tool(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="no such package"))
    with pytest.raises(FileError, match=r"venv: aimet-torch==[\d.]+ cannot be installed: no such package"):
        list(figures(tmp_path))


def test_a_run_that_breaks_off_says_which_and_why(monkeypatch, tmp_path):
    def run(command, **_):
        broken = "benchmarks.aimet_run" in command
        return SimpleNamespace(returncode=int(broken), stderr="Traceback\nMemoryError")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(FileError, match="aimet on layer: did not come to its end: MemoryError"):
        list(figures(tmp_path))
