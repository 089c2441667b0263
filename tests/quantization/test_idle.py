"""A scale for a value that is always 0: fine enough for the biases of its readers."""

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.costs.target import names
from microjoule.quantization.idle import REASON, STEPS, range_of_zeros


def dead(bias=0.3):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        module[0].bias.fill_(-1e3)
        module[2].bias.copy_(tensor([bias, -bias / 2]))
    return module


@pytest.mark.parametrize("target", names())
def test_its_readers_give_their_biases_and_the_record_says_so(target):
    module, x = dead(), torch.rand(8, 3)
    network = mj.capture(module, x)
    mj.quantize(network, target=target)
    record = mj.calibrate(network, x)
    assert [(one.place, one.reason) for one in record.skipped] == [("_1", REASON)]
    mj.freeze(network)
    step = list(network.quantizers.values())[-1].affine.scale.item()
    assert_close(network(x), module(x), rtol=0, atol=step / 2)
    assert_close(network.layers[1].bias, tensor([0.3, -0.15]), rtol=0, atol=step / 100)


def test_the_range_by_hand():
    module, x = dead(), torch.rand(8, 3)
    network = mj.capture(module, x)
    mj.quantize(network)
    layer, quantizer = network.layers[1], network.quantizers["_1"]
    scale = 0.3 / (STEPS * layer.quantizer.affine.scale.max().item())
    assert range_of_zeros(network, quantizer) == pytest.approx(scale * 255, rel=1e-6)


def test_where_no_bias_is_read_it_is_1():
    network = mj.capture(dead(bias=0.0), torch.rand(8, 3))
    mj.quantize(network)
    assert range_of_zeros(network, network.quantizers["_1"]) == 1.0
