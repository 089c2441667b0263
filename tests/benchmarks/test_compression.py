"""What is told of ours and of the others, by hand; the other tools run in the benchmark alone."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import microjoule as mj
from benchmarks import compression
from benchmarks.compression import Outcome, aimet_parts, best, by_torch_pruning, compared, ours, parts_of
from benchmarks.partial_results import Partial
from microjoule.records.compared import SampleScores
from microjoule.records.json_io import to_json
from microjoule.records.measured import Evaluated
from tests.benchmarks.small_case import small_case


def scored(value, stage=""):
    """An evaluation of 20 images, of which so many per cent are right."""
    scores = [100.0 * (at < value / 5) for at in range(20)]
    known = {"samples_id": "abc", "scores": SampleScores.of(scores)}
    return Evaluated(stage, "top1", float(value), "%", 20, "photos", 1.0, **known)


def outcome(tool, value, left=0.5):
    return Outcome(tool, scored(value, tool), left)


def written(method, share, left, values):
    first, second = (None if value is None else json.loads(to_json(scored(value))) for value in values)
    return {"method": method, "share": share, "left": left, "evaluated": first, "evaluated_norms": second}


WRITTEN = [
    written("L2", 0.75, 0.74, (60, 70)),
    written("Taylor", 0.75, 0.73, (65, None)),
    written("L2", 0.5, 0.49, (20, 10)),
]


def test_the_best_of_torch_pruning_may_have_its_norms_measured_anew():
    norms, taylor = best(WRITTEN[:2]), best(WRITTEN[1:])
    assert (norms.tool, norms.accuracy, norms.left) == ("torch-pruning, L2, norms anew", 70.0, 0.74)
    assert (taylor.tool, taylor.accuracy, taylor.left) == ("torch-pruning, Taylor", 65.0, 0.73)


def test_points_are_above_the_best_of_the_recipe_with_their_errors():
    recipes = [outcome("recipe, svd", 60), outcome("recipe, pruning", 65, 0.48)]
    found = [scored(value, "ours") for value in (80, 85, 75)]
    loss, points, other = compared("net", scored(90, "original"), found, recipes, outcome("tp", 70))
    assert (loss.value, loss.goal, points.value, points.goal) == (10.0, None, 15.0, ">= 3")
    assert other.value == 10.0
    assert points.evidence["values"] == [15.0, 20.0, 10.0]
    assert points.error > 0
    assert points.compared_with.startswith("ours 80.00, recipe, pruning 65.00, 20 samples; 3, 4, 2 won, 0, 0, 0 lost")
    assert points.compared_with.endswith(
        "recipe, svd 60.00 with 50.0% of the MACs; recipe, pruning 65.00 with 48.0% of the MACs"
    )


@pytest.fixture
def tools(monkeypatch):
    """Stands for the processes of other tools."""
    commands = []

    def run(command, **_):
        commands.append([str(word) for word in command])
        if "--result" in commands[-1]:
            found = WRITTEN[:1] if "benchmarks.aimet_compression_run" in commands[-1] else WRITTEN
            Path(commands[-1][commands[-1].index("--result") + 1]).write_text(json.dumps({"outcomes": found}))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(compression, "environment", lambda *_: Path("python"))
    return commands


def test_torch_pruning_runs_once_for_all_shares(tools, tmp_path):
    kept = Partial(tmp_path / "kept")
    for _ in range(2):
        found = by_torch_pruning("net", tmp_path, tmp_path, kept)
        assert {share: one.accuracy for share, one in found.items()} == {0.75: 70.0, 0.5: 20.0}
    (command,) = tools
    assert command[1:4] == ["-m", "benchmarks.torch_pruning_run", "net"]
    assert command[-3:] == ["--shares", "0.75", "0.5"]


@pytest.fixture
def given():
    return small_case(16)


def test_aimet_runs_by_itself_on_the_smallest_network(tools, given, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "case", lambda name, data: given)
    monkeypatch.setattr(compression, "scored", lambda *_: scored(80, "original"))
    (part,) = aimet_parts(tmp_path)
    assert [figure.value for figure in part.measure(Partial())] == [20.0] * 4
    assert [command[3:6] for command in tools] == [
        ["resnet20_cifar10", scheme, share] for scheme in ("svd", "pruning") for share in ("0.75", "0.5")
    ]


def test_ours_is_one_call_on_what_a_recipe_may_look_at_confirmed_on_what_judges(given, monkeypatch):
    asked = []
    monkeypatch.setattr(mj, "compress", lambda *some, **how: asked.append((some, how)) or some[0])
    assert ours(given, 0.5, seed=2) is given.given.network
    ((network, data, metric), how) = asked[0]
    assert network is given.given.network
    assert data == (given.images.inputs, given.images.labels)
    assert metric is given.given.metric
    assert how == {"macs": 0.5, "multiple": 1, "confirm": given.judges, "seed": 2}


@pytest.mark.slow
def test_the_whole_tells_points_and_latencies_and_draws(given, monkeypatch, tmp_path):
    monkeypatch.setattr(
        compression,
        "measure_together",
        lambda paths, runs, threads: [SimpleNamespace(latency_low_ms=2.0) for _ in paths],
    )
    monkeypatch.setattr(compression, "PLOTS", tmp_path)
    monkeypatch.setattr(compression, "case", lambda name, data, seed=0: given)
    exact = mj.evaluate(given.given.network.copy(), given.judges, "top1", stage="torch-pruning")
    other = Outcome("torch-pruning", exact, 0.5)
    monkeypatch.setattr(compression, "by_torch_pruning", lambda *_: {0.75: other, 0.5: other})

    def same(given, share, *, seed=0):
        network = given.given.network.copy()
        mj.evaluate(network, given.judges, "top1")
        return network

    monkeypatch.setattr(compression, "ours", same)
    (part,) = parts_of(("small",), tmp_path, 5)
    found = {figure.name: figure for figure in part.measure(Partial())}
    assert (part.minutes, found["small before"].value) == (5, 100.0)
    assert found["small, 50% of the MACs, above torch-pruning"].value == 0.0
    assert found["small, 50% of the MACs, below the original"].evidence["values"] == [0.0] * 3
    assert found["small, 50% of the MACs, left"].state == "missed", "nothing was removed"
    assert found["small, original, FP32 latency"].value == 1.0
    assert "below original" in found["small, original, int8 latency"].compared_with
    assert sum(name.endswith("int8 latency") for name in found) == 5
    assert "recipe 50%, int8" in (tmp_path / "small.html").read_text()
