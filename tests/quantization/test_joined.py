"""Concatenations of large and small parts: which keep a grid for all, and which must not."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.costs.target import names
from microjoule.quantization.joined import STEPS
from tests.capture.models import Function

X = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(0))


def parts(size, read):
    """A part of about 1 and one `size` times as large, joined, and what reads both."""
    torch.manual_seed(0)
    convs = {name: nn.Conv2d(4, 4, 1) for name in "ab"}
    module = Function(lambda m, x: read(m, torch.cat([m.a(x) * size, m.b(x)], 1)), c=nn.Conv2d(8, 2, 1), **convs)
    return module.eval()


def quantized(module, target="onnxruntime"):
    network = mj.capture(module, X)
    mj.quantize(network, target=target)
    record = mj.calibrate(network, X)
    return network, record


@pytest.mark.parametrize("target", names())
def test_parts_that_are_taken_apart_again_keep_a_grid_each(target):
    module = parts(300.0, lambda m, both: both.relu()[:, 3:] * 2)
    network, record = quantized(module, target)
    assert "cat" not in network.quantizers
    assert [one.place for one in record.skipped] == ["cat", "relu", "mul_1"]
    assert "b would have" in record.skipped[0].reason
    assert {one.reason for one in record.skipped[1:]} == {"it holds the parts of cat still"}
    grids = {name: quantizer for name, quantizer in network.quantizers.items() if name in ("b", "mul")}
    assert len(set(grids.values())) == 2
    assert grids["b"].affine.scale * 50 < grids["mul"].affine.scale
    values = module(X)[:, 1:]
    assert (network(X)[:, 1:] - values).square().mean() < values.square().mean() / 300


@pytest.mark.parametrize("size", [1.0, 8.0])
def test_parts_of_about_one_size_share_a_grid(size):
    network, record = quantized(parts(size, lambda m, both: both.relu()[:, 3:] + both[:, 3:]))
    assert "cat" in network.quantizers
    assert record.skipped == ()


def test_what_a_layer_sums_up_shares_a_grid_whatever_its_size():
    network, record = quantized(parts(300.0, lambda m, both: m.c(both)))
    assert "cat" in network.quantizers
    assert record.skipped == ()


def test_a_part_that_is_always_0_is_nothing_to_be_lost():
    module = parts(300.0, lambda m, both: both.relu()[:, 3:] * 2)
    with torch.no_grad():
        module.b.weight.zero_()
        module.b.bias.zero_()
    network, record = quantized(module)
    assert "cat" in network.quantizers
    assert [one.place for one in record.skipped] == ["b"]


def test_other_concatenations_still_share_a_grid_with_their_parts():
    def read(m, both):
        again = torch.cat([m.c(both.relu()), m.c(both.relu()) * 0.9], 1)
        return m.d(again), both[:, 3:].sigmoid()

    module = parts(300.0, read)
    module.d = nn.Conv2d(4, 2, 1)
    network, record = quantized(module, "tflite-micro")
    assert [one.place for one in record.skipped] == ["cat"]
    shared = [name for name in network.quantizers if network.quantizers[name] is network.quantizers["cat_1"]]
    assert len(shared) == 3
    assert network.quantizers["b"] is not network.quantizers["mul"]


def test_a_later_calibration_finds_the_same():
    network, _ = quantized(parts(300.0, lambda m, both: both.relu()[:, 3:] * 2))
    again = mj.calibrate(network, X)
    assert again.skipped == ()
    assert "cat" not in network.quantizers
    assert STEPS == 8
