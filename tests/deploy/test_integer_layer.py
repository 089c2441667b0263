import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.deploy.integer_layer import integer_layer, integer_weight
from microjoule.graph.edit import quantize_weight
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import dequantize
from microjoule.numerics.grid import IntGrid, Scheme


def layer_of(module, x, scheme):
    (layer,) = capture(nn.Sequential(module), x).layers
    quantizer = Quantizer(scheme)
    weight = layer.stored_weight.detach()
    ends = weight.movedim(scheme.axis, 0).flatten(1).abs().amax(1) if scheme.axis is not None else weight.abs().max()
    if scheme.block is not None:
        ends = ends.unflatten(0, (-1, scheme.block)).amax(1)
    quantizer.set_range(-ends, ends)
    quantize_weight(layer, quantizer)
    return layer


PER_CHANNEL = Scheme(IntGrid(8, narrow=True), symmetric=True, axis=0)
PER_TENSOR = Scheme(IntGrid(8, narrow=True), symmetric=True)


def linear(weight, bias):
    module = nn.Linear(2, 2)
    module.weight.data, module.bias.data = tensor(weight), tensor(bias)
    return module


def test_a_layer_by_hand():
    """Scales 1.27 / 127 = 0.01 and 0.02; with inputs at 0.5 a bias of 1 is 1 / 0.005 = 200 and 1 / 0.01 = 100."""
    layer = layer_of(linear([[1.27, -0.5], [0.3, 2.54]], [1.0, 1.0]), torch.zeros(2, 2), PER_CHANNEL)
    found = integer_layer(layer, tensor(0.5))
    assert found.weight.tolist() == [[127, -50], [15, 127]]
    assert found.bias.tolist() == [200, 100]
    assert_close(found.scale, tensor([0.005, 0.01], dtype=torch.float64), atol=1e-9, rtol=0)
    assert found.coarsened == 0


@pytest.mark.parametrize("scheme", [PER_CHANNEL, PER_TENSOR], ids=["per channel", "per tensor"])
def test_a_bias_too_large_for_32_bits_makes_the_weights_coarser(scheme):
    layer = layer_of(linear([[1e-9, 1e-9], [1e-9, 1e-9]], [3.0, 0.0]), torch.zeros(2, 2), scheme)
    found = integer_layer(layer, tensor(0.01))
    assert found.coarsened == 1
    assert abs(int(found.bias[0])) <= 2**30 + 64
    assert_close(found.bias[0] * found.scale.flatten()[0], tensor(3.0, dtype=torch.float64), rtol=1e-6, atol=0)


def test_a_transposed_layer_in_groups_has_the_scales_of_its_group_again_and_again():
    module = nn.ConvTranspose2d(4, 6, 2, groups=2)
    layer = layer_of(module, torch.zeros(2, 4, 3, 3), Scheme(IntGrid(8, narrow=True), symmetric=True, axis=1))
    found = integer_layer(layer, tensor(0.5))
    assert found.scale.shape == (6,)
    assert torch.equal(found.scale[:3], found.scale[3:])


def test_integers_and_grid_are_the_quantized_weight():
    layer = layer_of(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 5, 5), PER_CHANNEL)
    assert torch.equal(dequantize(*integer_weight(layer)), layer.weight)


def test_a_block_of_channels_is_written_out_channel_by_channel():
    scheme = Scheme(IntGrid(8, narrow=True), symmetric=True, axis=0, block=2)
    layer = layer_of(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 5, 5), scheme)
    weight, affine = integer_weight(layer)
    assert affine.scale.shape == (4,)
    assert affine.scale[0] == affine.scale[1] != affine.scale[2]
    assert torch.equal(dequantize(weight, affine), layer.weight)


def test_a_layer_without_bias_has_none():
    layer = layer_of(nn.Linear(2, 2, bias=False), torch.zeros(2, 2), PER_CHANNEL)
    assert integer_layer(layer, tensor(0.5)).bias is None
