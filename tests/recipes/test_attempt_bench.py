"""The bench; tests/recipes/test_reach.py holds what it does in a search."""

import torch
from torch import nn

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.recipes.attempt_bench import FLOAT, Bench
from microjoule.recipes.attempt_files import AttemptFiles
from microjoule.recipes.attempts import ATTEMPTS, Settings

X, Y = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def test_an_attempt_is_noted_with_its_score_its_cost_and_its_widths(tmp_path):
    network = mj.capture(nn.Sequential(nn.Linear(4, 3)), X[:2])
    settings = Settings(mj.target("per-tensor"), 4, 8, {}, (0.0, 1.0), 10, 0)
    metric, files = mj.zoo.metric("top1"), AttemptFiles(tmp_path)
    bench = Bench(network, batches((X, Y)), batches(X), metric, "bytes", settings, files)
    bench.claim()
    note, scored = bench.floating()
    tried = bench.tried(ATTEMPTS[0], scored)
    assert (note.value, note.drop, note.cost) == (scored.value, 0.0, 4 * 15)
    assert (tried.weights, tried.activations, tried.drop) == ((4,), (8,), scored.value - tried.value)
    assert tried.cost < note.cost
    assert [type(record).__name__ for record in bench.found(FLOAT)] == ["Evaluated", "Costs"]
