import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from microjoule.graph.activation import Activation
from microjoule.graph.edit import by_input
from microjoule.graph.fold import fold_batch_norms
from microjoule.quantization.ptq.equalization import equalize, equalizing_scale, settled_scale
from tests.capture.models import Function
from tests.graph.channel_networks import NETWORKS
from tests.quantization.networks import MODULES, conv, network_of, outputs, uneven

SIZES = st.integers(1, 6)
EQUALIZED = {
    "plain": "0 3",
    "flattened": "4",
    "residual": "a c",
    "dense": "a b c norm",
    "grouped": "0 2 4",
    "depthwise": "0 2 4",
    "gate": "down",
    "shuffled": "stem a b",
    "shuffled_groups": "0",
    "u_shaped": "down low up",
    "transposed": "0 1 3 4",
    "normed": "3",
    "resized": "3",
    "one_dimensional": "0 3",
}
"""Of the networks of tied channels, the layers whose channels can be scaled."""


def ranges(layer):
    return layer.by_output(layer.stored_weight.detach()).flatten(1).abs().amax(1)


def read_ranges(layer):
    return by_input(layer, layer.by_output(layer.stored_weight.detach())).abs().amax(1)


def test_scale_by_hand():
    first = torch.tensor([[4.0, -16.0], [1.0, 0.5]])  # ranges 16, 1
    second = torch.tensor([[1.0, -4.0], [9.0, 2.0]])  # ranges 4, 9
    assert_close(equalizing_scale(first, second), torch.tensor([2.0, 1 / 3]))


@given(channels=SIZES, made=SIZES, read=SIZES, seed=st.integers(0, 2**31))
def test_both_ranges_meet_at_the_geometric_mean(channels, made, read, seed):
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(channels, made, dtype=torch.float64, generator=generator)
    second = torch.randn(channels, read, dtype=torch.float64, generator=generator)
    scale = equalizing_scale(first, second)
    middle = (first.abs().amax(1) * second.abs().amax(1)).sqrt()
    assert_close((first / scale[:, None]).abs().amax(1), middle)
    assert_close((second * scale[:, None]).abs().amax(1), middle)


def test_a_dead_channel_is_left_alone():
    first, second = torch.tensor([[0.0], [2.0], [8.0]]), torch.tensor([[3.0], [0.0], [2.0]])
    assert equalizing_scale(first, second).tolist() == [1, 1, 2]
    assert settled_scale(first, second, torch.zeros(3)).tolist() == [1, 1, 1]


def test_what_all_channels_have_in_common_is_left_out():
    """The scales 8 and 2 have the mean 4."""
    first, second = torch.tensor([[64.0], [4.0]]), torch.ones(2, 1)
    assert_close(settled_scale(first, second, torch.zeros(2)), torch.tensor([2.0, 0.5]))


def test_a_channel_grows_no_further_than_the_widest():
    """Equalized, the second channel would be divided by 1/2: from 3 to 6, where the widest reaches 4."""
    first, second = torch.tensor([[64.0], [4.0]]), torch.ones(2, 1)
    scale = settled_scale(first, second, torch.tensor([4.0, 3.0]))
    assert_close(scale, torch.tensor([2.0, 0.75]))
    assert_close(settled_scale(first, second, torch.tensor([4.0, 1.0])), torch.tensor([2.0, 0.5]))


def test_a_constant_channel_is_scaled_to_what_reads_the_others():
    """Nothing makes the third channel, 16 reads it, the others are read by 1 and 1: a sixteenth, if it may reach 4."""
    first, second = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[1.0], [1.0], [16.0]])
    assert_close(settled_scale(first, second, torch.tensor([4.0, 4.0, 0.1])), torch.tensor([1.0, 1.0, 1 / 16]))
    assert_close(settled_scale(first, second, torch.tensor([4.0, 4.0, 2.0])), torch.tensor([1.0, 1.0, 0.5]))
    assert_close(settled_scale(first, 1 / second, torch.tensor([4.0, 4.0, 2.0])), torch.ones(3))


@pytest.mark.parametrize("name", MODULES)
def test_the_network_computes_the_same_function(name):
    module, shape = MODULES[name]
    network, x = network_of(uneven(copy.deepcopy(module)), *shape)
    before = outputs(network, x)
    record = equalize(network)
    assert record.groups
    assert max(high / low for low, high in record.groups.values()) > 1.5
    assert_close(outputs(network, x), before)
    assert network.history[-1] is record


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_tied_channels_keeps_the_function(name):
    build, shape = NETWORKS[name]
    network, x = network_of(uneven(build()), *shape)
    fold_batch_norms(network)
    before = outputs(network, x)
    record = equalize(network)
    assert_close(outputs(network, x), before, rtol=1e-10, atol=1e-10)
    assert {group.split(" -> ")[0] for group in record.groups} == set(EQUALIZED.get(name, "").split())


@pytest.mark.parametrize("name", ["chain", "prelu", "grouped", "transposed", "tokens", "1d", "3d", "padded"])
def test_ranges_are_equal_after_it_up_to_a_common_factor(name):
    module, shape = MODULES[name]
    network, _ = network_of(uneven(copy.deepcopy(module)), *shape)
    record = equalize(network, tolerance=1e-9, sweeps=1000)
    for group in record.groups:
        first, reader = group.split(" -> ")
        share = ranges(network.layer(first)) / read_ranges(network.layer(reader))
        assert_close(share, share[:1].expand_as(share), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["chain", "depthwise", "two readers", "flattened"])
def test_a_second_time_changes_nothing(name):
    module, shape = MODULES[name]
    network, _ = network_of(uneven(copy.deepcopy(module)), *shape)
    equalize(network, tolerance=1e-9, sweeps=1000)
    record = equalize(network, tolerance=1e-9)
    assert record.sweeps <= 2
    for low, high in record.groups.values():
        assert (low, high) == pytest.approx((1, 1), abs=1e-6)


@pytest.mark.slow
@given(seed=st.integers(0, 2**31))
def test_the_scales_of_a_depthwise_triplet_are_the_papers_cube_roots(seed):
    """Three ranges of a channel meet at their geometric mean, (r1 r2 r3)^(1/3), up to each layer's common factor."""
    generator = torch.Generator().manual_seed(seed)
    r1, r2, r3 = (0.5 + torch.rand(3, 5, dtype=torch.float64, generator=generator)).unbind()
    a, b, c = r1[:, None], r2[:, None], r3[:, None]
    for _ in range(200):
        s = settled_scale(a, b, torch.zeros(5))
        a, b = a / s[:, None], b * s[:, None]
        s = settled_scale(b, c, torch.zeros(5))
        b, c = b / s[:, None], c * s[:, None]
    expected = (r1 * r2 * r3) ** (1 / 3)
    for found in (a, b, c):
        share = found.squeeze(1) / expected
        assert_close(share, share[:1].expand_as(share))


def test_relu6_keeps_its_cap_channel_by_channel():
    network, x = network_of(uneven(nn.Sequential(conv(), nn.ReLU6(), conv())), 4, 6, 6)
    x = 100 * x
    with torch.no_grad():
        inside = nn.functional.conv2d(x, network.layer("0").stored_weight, network.layer("0").bias)
    assert bool((inside > 6).flatten(2).any(2).any(0).all())  # each channel goes beyond its cap
    before = outputs(network, x)
    record = equalize(network)
    assert_close(outputs(network, x), before)
    assert len(record.capped) == 1
    clamp = Activation.at(network.module, network.node(record.capped[0]))
    assert clamp.high.shape == (4, 1, 1)
    assert float(clamp.high.max()) > float(clamp.high.min())
    assert not any(node.target is torch.ops.aten.relu.default for node in network.graph.nodes)


def test_statistics_are_scaled_with_the_channels():
    module = uneven(nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), conv()))
    network, _ = network_of(module, 4, 6, 6)
    fold_batch_norms(network)
    before, weight = network.preactivations["0"], network.layer("0").stored_weight.detach().clone()
    equalize(network)
    scale = (network.layer("0").stored_weight.detach() / weight).flatten(1)[:, 0]
    assert_close(network.preactivations["0"].mean, before.mean * scale)
    assert_close(network.preactivations["0"].std, before.std * scale)


def test_a_folded_batch_norm_limits_how_far_a_channel_may_grow():
    module = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), conv())
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([1.0, 1.0, 1.0, 0.01]))
        module[1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, 3.0]))
    network, _ = network_of(module, 4, 6, 6)
    fold_batch_norms(network)
    equalize(network)
    known = network.preactivations["0"]
    assert float((known.mean + 6 * known.std).max()) <= 6 * (1 + 1e-6)


def test_a_network_without_pairs_is_left_alone():
    network, x = network_of(nn.Sequential(conv(), nn.Sigmoid()), 4, 5, 5)
    before = outputs(network, x)
    record = equalize(network)
    assert (record.groups, record.sweeps, record.largest_change) == ({}, 0, 0.0)
    assert record.skipped[0].reason == "sigmoid (_1) reads it"
    assert torch.equal(outputs(network, x), before)


def test_sweeps_stop_at_the_limit():
    module, shape = MODULES["depthwise"]
    network, _ = network_of(uneven(copy.deepcopy(module)), *shape)
    record = equalize(network, sweeps=1, tolerance=0.0)
    assert record.sweeps == 1
    assert record.largest_change > 0


def test_a_functional_layer_takes_part():
    kernel = nn.Module()
    kernel.value = nn.Parameter(torch.randn(4, 4, 3, 3))
    module = Function(lambda m, x: m.last(F.conv2d(x, m.kernel.value).relu()), kernel=kernel, last=conv())
    network, x = network_of(uneven(module), 4, 7, 7)
    before = outputs(network, x)
    assert list(equalize(network).groups) == ["kernel.value -> last"]
    assert_close(outputs(network, x), before)
