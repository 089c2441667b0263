import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.graph.channels import find_families
from microjoule.graph.ops import Activation
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
