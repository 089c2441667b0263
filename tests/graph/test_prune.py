from functools import cache

import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

import microjoule as mj
from microjoule.capture.export import capture
from microjoule.errors import SettingError
from microjoule.graph.channels import channel_groups
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.prune import mask_channels, remove_channels
from microjoule.numerics.gaussian import Gaussian
from microjoule.zoo.cards import card
from microjoule.zoo.weights import seeded
from tests.capture.models import alive
from tests.graph.channel_networks import IMAGE, NETWORKS

ZOO = ("digits_mobilenet_v2", "resnet20_cifar10", "vit_small", "unet_small", "ssd_small", "kws_dscnn")


def made(name):
    network, x = captured(name)
    return network.copy(), x


@cache
def captured(name):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = capture(alive(build()), (torch.randn(2, *shape),)).to(torch.float64)
    return network, torch.randn(3, *shape).double()


def drawn(network, seed):
    """Some units of every group, but not all."""
    generator = torch.Generator().manual_seed(seed)
    chosen = {}
    for group in channel_groups(network).groups:
        count = int(torch.randint(0, group.size, (), generator=generator))
        chosen[group.name] = torch.randperm(group.size, generator=generator)[:count].tolist()
    return chosen


def assert_removed_equals_masked(network, x, removed):
    masked, smaller = network.copy(), network.copy()
    mask_channels(masked, removed)
    remove_channels(smaller, removed)
    with torch.no_grad():
        pairs = list(zip(pytree.tree_leaves(masked(x)), pytree.tree_leaves(smaller(x)), strict=True))
    assert pairs
    for expected, got in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    return smaller


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_removed_equals_masked(name, seed):
    network, x = made(name)
    assert_removed_equals_masked(network, x, drawn(network, seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_all_but_one_unit_can_go(name):
    network, x = made(name)
    groups = channel_groups(network).groups
    removed = {group.name: range(1, group.size) for group in groups}
    smaller = assert_removed_equals_masked(network, x, removed)
    assert smaller.history[-1].units == {group.name: (group.size, 1) for group in groups}


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_units_can_go(data):
    network, x = made(data.draw(st.sampled_from(["shuffled", "split", "dense", "transposed"])))
    removed = {
        group.name: data.draw(st.sets(st.integers(0, group.size - 1), max_size=group.size - 1))
        for group in channel_groups(network).groups
    }
    assert_removed_equals_masked(network, x, removed)


@pytest.mark.parametrize("name", ZOO)
def test_removed_equals_masked_on_models_of_the_zoo(name):
    entry = card(name)
    shape = entry.input_shape
    network = capture(seeded(entry.build), (torch.randn(2, *shape),)).to(torch.float64)
    smaller = assert_removed_equals_masked(network, torch.randn(3, *shape).double(), drawn(network, 1))
    record = smaller.history[-1]
    assert record.parameters_after < record.parameters_before
    before, after = mj.costs(network), mj.costs(smaller)
    assert after.macs < before.macs
    assert after.parameters < before.parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_removing_nothing_changes_nothing(name):
    network, _ = made(name)
    same = network.copy()
    record = remove_channels(same, {group.name: () for group in channel_groups(network).groups})
    assert same.module.code == network.module.code
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), same.state_dict().values(), strict=True)
    )
    assert (record.units, record.channels) == ({}, {})
    assert record.parameters_before == record.parameters_after


def test_weights_by_hand():
    network, _ = made("plain")
    weight, norm = network.layer("3").weight.detach().clone(), network.module.get_submodule("1")
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    remove_channels(network, {"0": [1, 4], "3": [0]})
    keep = [0, 2, 3, 5]
    assert torch.equal(network.layer("3").weight, weight[1:][:, keep])
    assert torch.equal(norm.running_mean, mean[keep])
    assert torch.equal(norm.running_var, variance[keep])
    assert repr(network.module.get_submodule("3")).startswith("Conv2d(4, 7,")
    assert (norm.num_features, network.module.get_submodule("4").num_parameters) == (4, 7)


def test_the_record_tells_units_and_channels():
    network, _ = made("attention")
    record = remove_channels(network, {"qkv": [3], "up": range(4)})
    assert record.units == {"qkv": (4, 3), "up": (16, 12)}
    assert record.channels == {"qkv": (24, 18), "up": (16, 12)}
    assert network.history[-1] is record


def test_depthwise_layers_lose_groups_and_grouped_ones_keep_them():
    network, _ = made("depthwise")
    remove_channels(network, {"0": [0]})
    assert [network.layer(path).groups for path in ("2", "4")] == [5, 5]
    network, _ = made("grouped")
    remove_channels(network, {"2": [0]})
    assert network.layer("2").groups == 4
    network, _ = made("normed")
    remove_channels(network, {"0": [0]})
    assert network.module.get_submodule("1").num_groups == 2


def test_folded_networks_keep_what_is_known_of_their_outputs():
    network, x = made("residual")
    fold_batch_norms(network)
    known = network.preactivations["a"]
    smaller = assert_removed_equals_masked(network, x, {"a": [0, 5]})
    assert isinstance(smaller.preactivations["a"], Gaussian)
    assert torch.equal(smaller.preactivations["a"].mean, known.mean[1:5])
    assert torch.equal(smaller.preactivations["stem"].std, network.preactivations["stem"].std)


def test_parameters_stay_parameters_and_frozen_ones_frozen():
    network, _ = made("plain")
    network.layer("0").weight.requires_grad_(False)
    remove_channels(network, {"0": [0], "3": [0]})
    assert not network.layer("0").weight.requires_grad
    assert network.layer("3").weight.requires_grad
    assert isinstance(network.module.get_submodule("1").weight, torch.nn.Parameter)


@pytest.mark.parametrize("name", ["shuffled", "attention", "scaled"])
def test_a_smaller_network_is_saved_and_loaded(tmp_path, name):
    network, x = made(name)
    remove_channels(network, drawn(network, 2))
    network.save(tmp_path / "small.mj")
    loaded = mj.load(tmp_path / "small.mj")
    assert torch.equal(loaded(x), network(x))
    assert loaded.history[-1] == network.history[-1]


def test_a_smaller_network_is_exported_and_runs(tmp_path):
    network = capture(NETWORKS["shuffled"][0]().eval(), (torch.randn(2, *IMAGE),))
    remove_channels(network, {"stem#2": [1], "stem#3": [0, 2]})
    mj.export(network, tmp_path / "small.onnx")
    x = torch.randn(5, *IMAGE)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), network(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("removed", "fact"),
    [
        ({"x": [0]}, "there is no group 'x'\n  mj.channel_groups names: 0, 3"),
        ({"0": [6]}, "group 0 has units 0 to 5, not 6"),
        ({"0": [-1]}, "group 0 has units 0 to 5, not -1"),
        ({"0": range(6)}, "nothing would be left of group 0"),
    ],
    ids=["unknown group", "unit too large", "negative unit", "all units"],
)
@pytest.mark.parametrize("edit", [remove_channels, mask_channels])
def test_what_cannot_be_removed_is_refused_and_nothing_changes(edit, removed, fact):
    network, x = made("plain")
    before = network(x)
    with pytest.raises(SettingError, match=fact):
        edit(network, removed)
    assert torch.equal(network(x), before)
    assert len(network.history) == 1
