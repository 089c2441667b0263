"""Whether a network learns: refused where nothing can, told where only some can, and the network is as it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, GraphError, SettingError
from microjoule.execution.learning import Learning
from microjoule.execution.train import train

torch.manual_seed(0)
X, Y = torch.randn(24, 2, 6, 6), torch.arange(24) % 3
LAYERS = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(12, 3)]
NET = mj.capture(nn.Sequential(*LAYERS).eval(), X[:2])
HOW = {"epochs": 1, "learning_rate": 0.1, "batch_size": 12}


def state(network):
    held = [*network.module.named_parameters(), *network.module.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in held}


def assert_as_before(network, before):
    now = state(network)
    assert now.keys() == before.keys()
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in network.module.parameters())


def frozen():
    return mj.recipes.naive(NET, X)


def rounding():
    network = frozen()
    mj.unfreeze(network)
    return network


def weights_alone():
    network = NET.copy()
    mj.fold_batch_norms(network)
    mj.quantize(network, layers={})
    mj.calibrate(network, X)
    for quantizer in network.quantizers.values():
        quantizer.enabled = False
    mj.freeze(network)
    return network


@pytest.mark.parametrize("make", [frozen, rounding, weights_alone])
@pytest.mark.parametrize("more", [{}, {"optimizer": "adamw"}, {"teacher": NET.copy()}, {"ema": 0.9}], ids=str)
def test_a_network_whose_weights_are_held_or_rounded_is_refused(make, more):
    network = make()
    before, history = state(network), list(network.history)
    with pytest.raises(GraphError, match=r"cannot learn: quantizers hold or round its weights.*\n  train it before"):
        train(network, (X, Y), **HOW, **more)
    assert_as_before(network, before)
    assert network.history == history


def test_a_network_that_is_held_in_part_learns_and_says_what_does_not():
    network = NET.copy()
    mj.fold_batch_norms(network)
    mj.quantize(network)
    mj.calibrate(network, X)
    for quantizer in network.quantizers.values():
        quantizer.enabled = False
    for layer in network.layers[:2]:
        layer.quantizer.enabled = False
    mj.freeze(network)
    before = state(network)
    told = r"5 of 6 parameters learn; no gradient comes to 5\.parametrizations\.weight\.original, as .*\(5\.weight\)"
    with pytest.warns(UserWarning, match=told):
        record = train(network, (X, Y), **HOW)
    assert record.fixed == ("5.parametrizations.weight.original",)
    assert torch.equal(network.layer("5").weight, before["5.parametrizations.weight.0.held"])
    assert not torch.equal(network.layer("0").stored_weight, before["0.parametrizations.weight.original"])


def test_quantizers_without_a_range_do_not_matter():
    network = NET.copy()
    mj.fold_batch_norms(network)
    mj.quantize(network)
    for layer in network.layers:
        layer.quantizer.enabled = False
    assert train(network, (X, Y), **HOW).fixed == ()


FIXED = nn.Sequential(nn.Linear(3, 2).requires_grad_(False))


@pytest.mark.parametrize("module", [nn.Sequential(nn.ReLU(), nn.Flatten()), FIXED], ids=["none", "fixed"])
def test_a_network_without_a_parameter_that_may_learn_is_refused(module):
    network = mj.capture(module.eval(), torch.zeros(2, 3))
    with pytest.raises(SettingError, match="has no parameter to train"):
        train(network, (torch.rand(8, 3), torch.arange(8) % 2), **HOW)


def test_what_its_owner_has_fixed_stays_and_is_no_surprise():
    network = NET.copy()
    for name in ("0", "3", "5"):
        network.layer(name).stored_weight.requires_grad_(False)
    before = state(network)
    record = train(network, (X, Y), **HOW)
    assert record.fixed == ()
    assert torch.equal(network.layer("0").stored_weight, before["0.weight"])
    assert not torch.equal(network.layer("5").bias, before["5.bias"])


def rounded(outputs, targets):
    return F.cross_entropy(outputs.round(), targets)


def constant(outputs, targets):
    return F.cross_entropy(outputs * 0, targets)


def detached(outputs, targets):
    return F.cross_entropy(outputs.detach(), targets)


def counted(outputs, targets):
    return (outputs.argmax(1) != targets).float().mean()


def each(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


def plain(outputs, targets):
    return 0.5


@pytest.mark.parametrize(
    ("loss", "kind", "told"),
    [
        (rounded, GraphError, "cannot learn: no parameter gets a gradient from the loss"),
        (constant, GraphError, "cannot learn: no parameter gets a gradient from the loss"),
        (detached, SettingError, "loss: does not depend on any parameter that learns"),
        (counted, SettingError, "loss: does not depend on any parameter that learns"),
        (each, SettingError, r"loss: is of shape \(12,\), not a single number"),
        (plain, SettingError, "loss: is a float, not a single number"),
    ],
)
def test_a_loss_that_teaches_nothing_is_refused_before_the_first_step(loss, kind, told):
    network = NET.copy()
    before = state(network)
    with pytest.raises(kind, match=told):
        train(network, (X, Y), **HOW, loss=loss)
    assert_as_before(network, before)


@pytest.mark.parametrize("more", [{"learning_rate": 1e-60}, {"factor": lambda _: 0.0}], ids=["tiny", "no factor"])
def test_steps_that_change_nothing_are_refused_after_the_first_epoch(more):
    network = NET.copy()
    before = state(network)
    with pytest.raises(
        SettingError, match="learning_rate: is so small that no parameter has changed in the first epoch"
    ):
        train(network, (X, Y), **{**HOW, "weight_decay": 0.0, **more})
    assert_as_before(network, before)


def test_there_may_be_nothing_to_learn():
    """A loss of 0 is what was wanted."""
    network = mj.capture(nn.Sequential(nn.Linear(3, 2)), torch.zeros(2, 3))
    with torch.no_grad():
        network.layer("0").stored_weight.zero_()
        network.layer("0").bias.zero_()
    record = train(network, (X[:, 0, 0, :3], torch.zeros(24, 2)), **HOW, loss=F.mse_loss)
    assert record.losses == (0.0,)


def test_an_infinite_slope_of_a_finite_loss_is_told():
    network = mj.capture(nn.Sequential(nn.Linear(3, 2)), torch.zeros(2, 3))

    def root(outputs, targets):
        return (outputs - outputs.detach()).abs().sqrt().sum() + outputs.square().mean()

    with pytest.raises(DataError, match=r"epoch 1: parameter 0.weight is not finite any more\n  lower learning_rate"):
        train(network, (X[:, 0, 0, :3], Y), **{**HOW, "batch_size": 24}, loss=root)


def test_infinite_values_that_were_there_before_are_left_alone():
    network = NET.copy()
    with torch.no_grad():
        network.layer("5").bias[0] = -torch.inf
    watched = Learning(network)
    watched.see_finite(1)
    with torch.no_grad():
        network.layer("3").bias[0] = torch.nan
    with pytest.raises(DataError, match=r"epoch 2: parameter 3\.bias is not finite any more"):
        watched.see_finite(2)


def test_many_names_are_cut_short():
    with pytest.raises(GraphError, match=r"\(\S+, \S+, \S+, \S+, \S+ and \d+ more\)"):
        train(frozen(), (X, Y), **HOW)
