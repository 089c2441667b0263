"""What is told of ExecuTorch's programs, by hand; ExecuTorch itself runs in the benchmark alone."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.executorch_order import figures, told
from microjoule.errors import FileError

KEYS = [
    f"{order}, {plan}" for order in ("file", "best") for plan in ("ExecuTorch", "microjoule", "microjoule, in place")
]
FOUND = {
    "samples": 2,
    "arenas": dict(zip(KEYS, (200, 190, 180, 120, 110, 105), strict=True)),
    "identical": dict.fromkeys(KEYS, 2),
    "follows": dict.fromkeys(KEYS, True),
    "apart": 1e-7,
    "spoilt": 2,
    "peaks": {"file": 160, "best": 100},
    "optimal": True,
    "arena": 100,
}


def values(found):
    return {one.name.removeprefix("ExecuTorch, net, "): (one.value, one.state) for one in told("net", found)}


def test_figures_by_hand():
    assert values(FOUND) == {
        "equal outputs": (1.0, "met"),
        "programs in the given order": (1.0, "met"),
        "wrong plans noticed": (1.0, "met"),
        "arena over peak": (1.05, "met"),
        "arena of the best order over the file's, both by ExecuTorch": (0.6, "met"),
        "arena by microjoule over ExecuTorch's of the file's order": (0.525, "met"),
    }


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"identical": FOUND["identical"] | {KEYS[4]: 1}}, "equal outputs"),
        ({"follows": FOUND["follows"] | {KEYS[5]: False}}, "programs in the given order"),
        ({"spoilt": 1}, "wrong plans noticed"),
        ({"arenas": FOUND["arenas"] | {KEYS[5]: 106}}, "arena over peak"),
        (
            {"arenas": FOUND["arenas"] | {KEYS[3]: 181}},
            "arena of the best order over the file's, both by ExecuTorch",
        ),
    ],
)
def test_one_that_is_worse_misses_its_goal_alone(change, missed):
    assert [name for name, (_, state) in values(FOUND | change).items() if state != "met"] == [missed]


def test_a_network_without_gain_need_not_get_smaller():
    equal = {"arenas": dict.fromkeys(KEYS, 100), "peaks": {"file": 100, "best": 100}}
    assert all(state == "met" for _, state in values(FOUND | equal).values())


def test_networks_run_one_after_the_other_in_the_environment(monkeypatch, tmp_path):
    asked = []

    def run(command, **settings):
        if "benchmarks.executorch_run" in command:
            name, place = command[3], command[-1]
            asked.append((name, Path(command[0]).parts[-3:], settings["env"]["OMP_NUM_THREADS"]))
            (Path(place) / f"{name}.json").write_text(json.dumps(FOUND))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    assert len(list(figures(tmp_path))) == 12
    assert asked == [(name, ("venv", "bin", "python"), "1") for name in ("branches", "digits_mobilenet_v2")]


def test_an_environment_that_cannot_be_made_names_the_tool(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="no such package"))
    with pytest.raises(FileError, match=r"venv: executorch==[\d.]+ cannot be installed: no such package"):
        list(figures(tmp_path))


def test_a_run_that_breaks_off_says_which_and_why(monkeypatch, tmp_path):
    def run(command, **_):
        return SimpleNamespace(returncode=int("benchmarks.executorch_run" in command), stderr="Traceback\nMemoryError")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(FileError, match="branches: did not come to its end: MemoryError"):
        list(figures(tmp_path))
