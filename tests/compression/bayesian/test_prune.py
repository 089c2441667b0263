"""Learned pruning on a small LeNet: the folded network is the gated one, it is really smaller, counts are by hand."""

import pytest
import torch
from torch.testing import assert_close

from microjoule.compression.bayesian.prune import GATES, bayesian_prune
from microjoule.errors import SettingError
from microjoule.execution.evaluate import evaluate
from microjoule.execution.train import train
from microjoule.zoo.metrics import Top1
from tests.compression.bayesian.networks import NETWORK, X, Y, lenet

PARAMETERS = (25 + 1) * 4 + (4 * 36 + 1) * 6 + (24 + 1) * 12 + (12 + 1) * 2


@pytest.fixture(scope="module")
def trained():
    network = lenet()
    train(network, (X, Y), epochs=12, learning_rate=3e-3, optimizer="adamw", batch_size=20)
    return network


@pytest.mark.parametrize("method", GATES)
def test_a_network_gets_smaller_and_still_works(trained, method):
    network = trained.copy()
    settings = {"epochs": 3, "batch_size": 20, "compression": 3, "finetune_epochs": 6}
    record = bayesian_prune(network, (X, Y), method=method, **settings)
    assert record.parameters_before == PARAMETERS
    assert record.parameters_after == sum(p.numel() for p in network.module.parameters())
    assert record.compression >= 3
    for name, (_, left) in record.units.items():
        assert network.layer(name).out_channels == left
    assert network.layer("hidden").in_channels == record.inputs["hidden"][1]
    assert evaluate(network, (X, Y), Top1()).value > 75
    assert network.history[-2] is record
    assert set(record.bits) == ({"first", "second", "hidden", "last"} if method == "normal_jeffreys" else set())


def test_the_bits_are_counted_by_hand(trained):
    network = trained.copy()
    record = bayesian_prune(network, (X, Y), epochs=2, batch_size=20, compression=4)
    weights = {path: network.layer(path).stored_weight for path in record.bits}
    expected = sum(record.bits[path] * weight.numel() for path, weight in weights.items())
    expected += 32 * sum(network.layer(path).bias.numel() for path in weights)
    picked = record.inputs["hidden"]
    assert record.size_bits == expected + (picked[0] if picked[1] < picked[0] else 0)
    assert record.compression_with_bits == pytest.approx(32 * PARAMETERS / record.size_bits)
    for path, weight in weights.items():
        assert len(weight.detach().abs().unique()) <= 8 * 2 ** (record.bits[path] - 4)


def test_without_anything_to_remove_the_means_are_folded_in(trained):
    network = trained.copy()
    record = bayesian_prune(network, (X, Y), method="vib", epochs=1, batch_size=20, learning_rate=1e-7, compression=1)
    assert record.parameters_after == PARAMETERS
    assert_close(network(X), trained(X), atol=1e-3, rtol=1e-3)


def test_a_strong_penalty_leaves_one_unit_a_group_and_a_network_that_runs():
    network = lenet()
    record = bayesian_prune(network, (X, Y), method="vib", epochs=2, strength=1e4, batch_size=20, learning_rate=0.03)
    assert {left for _, left in record.units.values()} == {1}
    assert network(X).shape == (120, 2)
    assert torch.isfinite(network(X)).all()


def test_the_same_seed_gives_the_same_network(trained):
    one, other = trained.copy(), trained.copy()
    for network in (one, other):
        bayesian_prune(network, (X, Y), epochs=1, batch_size=20, compression=3)
    assert torch.equal(one(X), other(X))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "magic"}, "method: is 'magic'"),
        ({"strength": 0.0}, "strength: is 0"),
        ({"compression": 0.5}, "compression: is 0.5"),
        ({"epochs": 0}, "epochs: is 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_the_network_left_alone(setting, message):
    network = lenet()
    with pytest.raises(SettingError, match=message):
        bayesian_prune(network, (X, Y), **{"epochs": 1, **setting})
    assert list(network.state_dict()) == list(NETWORK.state_dict())
    assert torch.equal(network(X), NETWORK(X))


def test_data_of_unknown_size_is_refused():
    with pytest.raises(SettingError, match="does not tell its number of samples"):
        bayesian_prune(lenet(), [X], epochs=1)
