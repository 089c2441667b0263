"""What is told of ours and of the others, by hand; the other tools run in the benchmark alone."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import microjoule as mj
from benchmarks import compression
from benchmarks.compression import Outcome, best, by_aimet, by_torch_pruning, compared, figures_of, ours
from tests.benchmarks.small_case import small_case

WRITTEN = [
    {"method": "L2", "share": 0.75, "left": 0.74, "accuracy": 60.0, "accuracy_norms": 70.0},
    {"method": "Taylor", "share": 0.75, "left": 0.73, "accuracy": 65.0, "accuracy_norms": None},
    {"method": "L2", "share": 0.5, "left": 0.49, "accuracy": 20.0, "accuracy_norms": 10.0},
]


def test_the_best_of_torch_pruning_may_have_its_norms_measured_anew():
    assert best(WRITTEN[:2]) == Outcome("torch-pruning, L2, norms anew", 70.0, 0.74)
    assert best(WRITTEN[1:]) == Outcome("torch-pruning, Taylor", 65.0, 0.73)


def test_points_are_above_the_best_of_the_recipe():
    recipes = [Outcome("recipe, svd", 60.0, 0.5), Outcome("recipe, pruning", 64.0, 0.48)]
    points, other, left = compared("net", 0.5, 80.0, Outcome("ours", 67.5, 0.5), recipes, Outcome("tp", 66.0, 0.5))
    assert (points.value, points.goal, points.met) == (3.5, ">= 3", True)
    assert (other.value, other.met) == (1.5, False)
    assert (left.value, left.goal, left.met) == (0.5, "<= 0.5", True)
    assert "recipe, svd 60.00 with 50.0% of the MACs; recipe, pruning 64.00 with 48.0%" in points.compared_with


@pytest.fixture
def tools(monkeypatch):
    """Stands for the processes of other tools."""
    commands = []

    def run(command, **_):
        commands.append([str(word) for word in command])
        if "--result" in commands[-1]:
            Path(commands[-1][commands[-1].index("--result") + 1]).write_text(json.dumps({"outcomes": WRITTEN}))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_torch_pruning_runs_for_all_shares(tools, tmp_path):
    found = by_torch_pruning(Path("python"), "net", tmp_path, tmp_path)
    assert {share: one.accuracy for share, one in found.items()} == {0.75: 70.0, 0.5: 20.0}
    (command,) = tools
    assert command[1:4] == ["-m", "benchmarks.torch_pruning_run", "net"]
    assert command[-3:] == ["--shares", "0.75", "0.5"]


def test_aimet_runs_by_itself_on_the_smallest_network(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda text: {"outcomes": WRITTEN[:1]})
    monkeypatch.setattr(compression, "environment", lambda *_: Path("python"))
    found = list(by_aimet(tmp_path))
    assert [figure.value for figure in found] == [60.0] * 4
    assert [command[3:6] for command in tools] == [
        ["resnet20_cifar10", scheme, share] for scheme in ("svd", "pruning") for share in ("0.75", "0.5")
    ]


@pytest.fixture
def given():
    return small_case(16)


def test_ours_is_one_call_on_what_a_recipe_may_look_at(given, monkeypatch):
    asked = []
    monkeypatch.setattr(mj, "compress", lambda *some, **how: asked.append((some, how)) or some[0])
    assert ours(given, 0.5) is given.given.network
    ((network, data, metric), how) = asked[0]
    assert network is given.given.network
    assert data == (given.images.inputs, given.images.labels)
    assert metric is given.given.metric
    assert how == {"macs": 0.5, "multiple": 1}


def test_the_whole_tells_points_and_latencies_and_draws(given, monkeypatch, tmp_path):
    monkeypatch.setattr(
        compression,
        "measure_together",
        lambda paths, runs, threads: [SimpleNamespace(latency_low_ms=2.0) for _ in paths],
    )
    monkeypatch.setattr(compression, "PLOTS", tmp_path)
    monkeypatch.setattr(compression, "case", lambda name, data: given)
    monkeypatch.setattr(compression, "environment", lambda *_: Path("python"))
    other = Outcome("torch-pruning", 50.0, 0.5)
    monkeypatch.setattr(compression, "by_torch_pruning", lambda *_: {0.75: other, 0.5: other})
    monkeypatch.setattr(compression, "ours", lambda given, share: given.given.network.copy())
    found = {figure.name: figure for figure in figures_of(("small",), tmp_path, "plot.html")}
    assert found["small before"].value == 100.0
    assert found["small, 50% of the MACs, above torch-pruning"].value == 50.0
    assert found["small, 50% of the MACs, left"].met is False, "nothing was removed"
    assert found["small, original, FP32 latency"].value == 1.0
    assert sum(name.endswith("int8 latency") for name in found) == 5
    assert "recipe 50%, int8" in (tmp_path / "plot.html").read_text()
