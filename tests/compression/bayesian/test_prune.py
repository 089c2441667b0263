"""Learned pruning on a small LeNet: the folded network is the gated one, it is really smaller, counts are by hand."""

import onnxruntime
import pytest
import torch
from torch.testing import assert_close

from microjoule.compression.bayesian.choose import choose
from microjoule.compression.bayesian.normal_jeffreys import NormalJeffreysGate
from microjoule.compression.bayesian.posterior import Posterior
from microjoule.compression.bayesian.prune import GATES, _picks, _remove, _round, _size_bits, bayesian_prune
from microjoule.deploy.onnx_file import export
from microjoule.errors import SettingError
from microjoule.execution.evaluate import evaluate
from microjoule.execution.metrics import Top1
from microjoule.execution.train import train
from tests.compression.bayesian.networks import NETWORK, X, Y, lenet

PARAMETERS = (25 + 1) * 4 + (4 * 36 + 1) * 6 + (24 + 1) * 12 + (12 + 1) * 2


@pytest.fixture(scope="module")
def trained():
    network = lenet()
    train(network, (X, Y), epochs=8, learning_rate=1e-2, optimizer="adamw", batch_size=20)
    return network


@pytest.fixture(scope="module")
def picking(trained):
    """Without the second unit of `second`, and every third input of `hidden`."""
    network = trained.copy()
    posterior = Posterior(network, NormalJeffreysGate, noisy=True)
    with torch.no_grad():
        posterior.units["second"].log_variance[1] = 9.0
        posterior.inputs["hidden"].log_variance[::3] = 9.0
    posterior.detach()
    choice = choose(posterior, 0.0)
    picks = _picks(posterior, choice)
    _remove(network, posterior, choice, picks)
    return network, picks


def accuracy(network):
    return evaluate(network, (X, Y), Top1()).value


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
    assert accuracy(trained) > 94
    assert accuracy(network) > 90
    assert network.history[-2] is record
    assert set(record.bits) == ({"first", "second", "hidden", "last"} if method == "normal_jeffreys" else set())


def test_the_bits_are_counted_by_hand(trained):
    network = trained.copy()
    record = bayesian_prune(network, (X, Y), epochs=1, batch_size=20, compression=3)
    weights = {path: network.layer(path).stored_weight for path in record.bits}
    expected = sum(record.bits[path] * weight.numel() for path, weight in weights.items())
    assert record.size_bits == expected + 32 * sum(network.layer(path).bias.numel() for path in weights)
    assert record.compression_with_bits == pytest.approx(32 * PARAMETERS / record.size_bits)
    for path, weight in weights.items():
        assert len(weight.detach().abs().unique()) <= 8 * 2 ** (record.bits[path] - 4)


def test_guard_bits_are_added_and_bring_weights_nearer(picking):
    rounded = [picking[0].copy() for _ in range(3)]
    bits = [
        _round(network, {"hidden": 0.01}, guard)["hidden"] for network, guard in zip(rounded, (0, 2, 99), strict=True)
    ]
    assert bits == [bits[0], bits[0] + 2, 27]
    weight = picking[0].layer("hidden").stored_weight
    off = [float((network.layer("hidden").stored_weight - weight).detach().abs().max()) for network in rounded]
    assert off[0] > 3 * off[1] > off[2]


def test_an_index_costs_a_bit_for_each_input_of_units_that_stay(picking):
    network, picks = picking
    assert _size_bits(network, {}, picks) == 32 * sum(p.numel() for p in network.module.parameters()) + 5 * 4
    assert _size_bits(network, {}, {"hidden": torch.ones(20, dtype=torch.bool)}) % 32 == 0


def test_a_network_that_picks_computes_as_with_weights_at_0(trained, picking):
    network, masked = picking[0], trained.copy()
    with torch.no_grad():
        masked.layer("hidden").stored_weight[:, 4:8] = 0
        masked.layer("hidden").stored_weight[:, ::3] = 0
    assert_close(network(X), masked(X), atol=1e-5, rtol=1e-5)
    assert network.layer("hidden").in_channels == 13


@pytest.mark.slow
def test_a_network_that_picks_computes_the_same_in_onnx_runtime(picking, tmp_path):
    network = picking[0]
    export(network, tmp_path / "pruned.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pruned.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: X.numpy()})
    assert_close(torch.from_numpy(given), network(X), atol=1e-5, rtol=1e-5)


def test_a_pruned_network_is_pruned_again_but_not_where_it_picks(picking):
    network = picking[0].copy()
    index = [buffer.clone() for buffer in network.module.buffers()]
    before = sum(p.numel() for p in network.module.parameters())
    record = bayesian_prune(network, (X, Y), epochs=1, batch_size=20, compression=1.3)
    assert set(record.units) == {"first", "hidden"}
    assert record.inputs == {}
    assert record.parameters_before == before >= 1.3 * record.parameters_after
    assert all(torch.equal(*pair) for pair in zip(index, network.module.buffers(), strict=True))
    assert network.layer("hidden").in_channels == 13
    assert torch.isfinite(network(X)).all()


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
        ({"guard_bits": -1}, "guard_bits: is -1"),
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
