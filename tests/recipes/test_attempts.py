from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import GraphError
from microjoule.execution.batches import batches
from microjoule.recipes.attempts import ATTEMPTS, Settings, _candidates
from microjoule.records.facts import Calibrated

X = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))


MIXED = ["mixed precision, 1.25 x", "mixed precision, 1.5 x"]


def settings(**changes):
    given = Settings(mj.target("per-tensor"), 4, 8, {}, (float(X.min()), float(X.max())), 10, 0)
    return replace(given, **changes)


def network(*, norm):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    return mj.capture(nn.Sequential(*layers).eval(), X[:2])


def test_the_order_is_the_written_one():
    found = ["naive", "data-free", "MSE ranges", "GPTQ", "AdaRound", "QDrop", *MIXED]
    assert [attempt.name for attempt in ATTEMPTS] == found


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_an_attempt_gives_a_frozen_network_and_leaves_the_given_one_alone(attempt, tmp_path):
    given = network(norm=True)
    made = attempt.make(
        given, batches(X), settings(activations=4 if attempt.name == "QDrop" else 8), tmp_path / "layers"
    )
    bits = {layer.quantizer.scheme.grid.bits for layer in made.layers}
    assert bits == {4} or (attempt.name in MIXED and bits <= {4, 5, 6, 7, 8})
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


@pytest.mark.parametrize(("name", "share"), [*zip(MIXED, (1.25, 1.5), strict=True)])
def test_mixed_precision_spends_its_share_and_no_more(name, share, tmp_path):
    given = network(norm=True)
    attempt = next(one for one in ATTEMPTS if one.name == name)
    made = attempt.make(given, batches(X), settings(), tmp_path / "layers")
    uniform = ATTEMPTS[0].make(given, batches(X), settings(), tmp_path)
    assert mj.costs(uniform).bops < mj.costs(made).bops <= share * mj.costs(uniform).bops


def test_candidates_are_the_widths_asked_for_and_up_to_twice_as_many():
    assert _candidates(settings()) == [(4, 8), (5, 8), (6, 8), (7, 8), (8, 8), (8, 10), (8, 12), (8, 16)]
    eight = settings(target=mj.target("xnnpack"), weights=8)
    assert _candidates(eight) == [(8, 8)]


def test_mixed_precision_takes_no_exceptions(tmp_path):
    with pytest.raises(GraphError, match="layers: names bits of its own"):
        ATTEMPTS[-1].make(network(norm=True), batches(X), settings(layers={"0": 8}), tmp_path)


def test_qdrop_is_for_narrow_activations(tmp_path):
    with pytest.raises(GraphError, match="activations: of 8 bits gain nothing"):
        next(one for one in ATTEMPTS if one.name == "QDrop").make(network(norm=True), batches(X), settings(), tmp_path)
