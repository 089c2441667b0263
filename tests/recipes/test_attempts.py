import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.recipes.attempts import ATTEMPTS, Settings
from microjoule.records.facts import Calibrated

X = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def settings():
    return Settings(mj.target("per-tensor"), 4, 8, {}, (float(X.min()), float(X.max())), 10, 0)


def network(*, norm):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    return mj.capture(nn.Sequential(*layers).eval(), X[:2])


def test_the_order_is_the_written_one():
    assert [attempt.name for attempt in ATTEMPTS] == ["naive", "data-free", "MSE ranges", "GPTQ", "AdaRound"]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_an_attempt_gives_a_frozen_network_and_leaves_the_given_one_alone(attempt, tmp_path):
    given = network(norm=True)
    made = attempt.make(given, batches(X), settings(), tmp_path / "layers")
    assert {layer.quantizer.scheme.grid.bits for layer in made.layers} == {4}
    assert all(layer.quantizer.integers is not None for layer in made.layers)
    assert not given.quantizers
    assert len(given.history) == 1


@pytest.mark.parametrize(("norm", "source"), [(True, "batch-norm"), (False, "Tensor")])
def test_without_batch_norms_the_inputs_tell_the_ranges(norm, source, tmp_path):
    made = ATTEMPTS[1].make(network(norm=norm), batches(X), settings(), tmp_path)
    calibrated = [record for record in made.history if isinstance(record, Calibrated)]
    assert source in calibrated[0].source


def test_mse_ranges_replace_those_of_the_statistics(tmp_path):
    made = ATTEMPTS[2].make(network(norm=True), batches(X), settings(), tmp_path)
    assert [record.rule for record in made.history if isinstance(record, Calibrated)][-1] == "mse"
