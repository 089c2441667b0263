import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.graph.activation import Activation
from microjoule.graph.families import find_families
from microjoule.graph.rescale import rescale
from tests.quantization.networks import MODULES, conv, network_of, outputs


@pytest.mark.parametrize("name", MODULES)
def test_the_network_computes_the_same_function(name):
    network, x = network_of(copy.deepcopy(MODULES[name][0]), *MODULES[name][1])
    before = outputs(network, x)
    families, _ = find_families(network)
    scales = [torch.linspace(0.3, 3.0, family.first.out_channels, dtype=torch.float64) for family in families]
    groups, _ = rescale(network, families, scales)
    assert all(found == pytest.approx((0.3, 3.0)) for found in groups.values())
    assert_close(outputs(network, x), before)


def test_weights_biases_and_caps_by_hand():
    network, _ = network_of(nn.Sequential(conv(2, 2, 1), nn.ReLU6(), conv(2, 1, 1)), 2, 3, 3)
    first, second = (layer.stored_weight.detach().clone() for layer in network.layers)
    bias = network.layers[0].bias.detach().clone()
    families, _ = find_families(network)
    _, capped = rescale(network, families, [torch.tensor([2.0, 0.5], dtype=torch.float64)])
    factors = torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert_close(network.layers[0].stored_weight.detach(), first * factors.reshape(2, 1, 1, 1))
    assert_close(network.layers[0].bias.detach(), bias * factors)
    assert_close(network.layers[1].stored_weight.detach(), second / factors.reshape(1, 2, 1, 1))
    cap = Activation.at(network.module, network.node(capped[0])).high
    assert cap.flatten().tolist() == [3.0, 12.0]


def test_scales_of_one_leave_the_activations_alone():
    network, _ = network_of(nn.Sequential(conv(2, 2, 1), nn.ReLU6(), conv(2, 1, 1)), 2, 3, 3)
    families, _ = find_families(network)
    assert rescale(network, families, [torch.ones(2, dtype=torch.float64)])[1] == ()


def test_one_channel_that_stays_does_not_keep_the_others_caps():
    network, x = network_of(nn.Sequential(conv(2, 2, 1), nn.ReLU6(), conv(2, 1, 1)), 2, 3, 3)
    before = outputs(network, x)
    families, _ = find_families(network)
    _, (capped,) = rescale(network, families, [torch.tensor([1.0, 0.5], dtype=torch.float64)])
    assert Activation.at(network.module, network.node(capped)).high.flatten().tolist() == [6.0, 12.0]
    assert_close(outputs(network, x), before)


def test_an_activation_without_a_cap_stays_what_it_is():
    network, _ = network_of(nn.Sequential(conv(2, 2, 1), nn.ReLU(), conv(2, 1, 1)), 2, 3, 3)
    nodes = [(node.op, node.target) for node in network.graph.nodes]
    families, _ = find_families(network)
    assert rescale(network, families, [torch.tensor([2.0, 0.5], dtype=torch.float64)])[1] == ()
    assert [(node.op, node.target) for node in network.graph.nodes] == nodes


def test_every_capped_activation_is_named_and_both_its_bounds_are_divided():
    layers = [conv(2, 2, 1), nn.ReLU6(), conv(2, 2, 1), nn.Hardtanh(-0.3, 0.6), conv(2, 1, 1)]
    network, x = network_of(nn.Sequential(*layers), 2, 3, 3)
    before = outputs(network, x)
    families, _ = find_families(network)
    _, capped = rescale(network, families, [torch.tensor([2.0, 0.5], dtype=torch.float64)] * 2)
    bounds = [Activation.at(network.module, network.node(name)) for name in capped]
    assert [bound.high.flatten().tolist() for bound in bounds] == [[3.0, 12.0], [0.3, 1.2]]
    assert bounds[1].low.flatten().tolist() == [-0.15, -0.6]
    assert_close(outputs(network, x), before)
