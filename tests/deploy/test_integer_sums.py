import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.integer_sums import convolve, convolve_transposed, multiply
from microjoule.graph.geometry import Geometry, geometry, pads_with_zeros


def integers(*shape, high=128, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-high, high, shape, generator=generator)


def spread(axes, *, stride=1, padding=(0, 0), dilation=1, groups=1, more=0):
    return Geometry((stride,) * axes, (padding,) * axes, (dilation,) * axes, (more,) * axes, groups)


HOW = {
    "plain": (2, {}, {}),
    "strided": (2, {"stride": 2, "padding": (1, 1)}, {"stride": 2, "padding": 1}),
    "grouped": (2, {"groups": 2}, {"groups": 2}),
    "depthwise": (2, {"groups": 4}, {"groups": 4}),
    "dilated": (2, {"dilation": 2, "padding": (2, 2)}, {"dilation": 2, "padding": 2}),
    "1d": (1, {"stride": 3}, {"stride": 3}),
    "3d": (3, {"stride": 2}, {"stride": 2}),
}


@pytest.mark.parametrize("high", [8, 30000], ids=["float32", "float64"])
@pytest.mark.parametrize("name", HOW)
def test_a_convolution_sums_exactly(name, high):
    """Against torch's convolution in float64, which is exact below 2^53."""
    axes, how, settings = HOW[name]
    x, weight, bias = (
        integers(2, 4, *[9] * axes, high=high),
        integers(8, 4 // how.get("groups", 1), *[3] * axes),
        integers(8),
    )
    function = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    got = convolve(x.float(), weight, bias, spread(axes, **how))
    assert torch.equal(got.double(), function(x.double(), weight.double(), bias.double(), **settings))


def test_a_convolution_with_more_padding_on_one_side():
    x, weight = integers(1, 2, 5, 5), integers(3, 2, 3, 3)
    expected = F.conv2d(F.pad(x.double(), (0, 1, 0, 1)), weight.double())
    assert torch.equal(convolve(x.float(), weight, None, spread(2, padding=(0, 1))).double(), expected)


@pytest.mark.parametrize("high", [8, 30000], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ({}, {}),
        ({"stride": 2, "padding": (1, 1), "more": 1}, {"stride": 2, "padding": 1, "output_padding": 1}),
        ({"groups": 2, "dilation": 2}, {"groups": 2, "dilation": 2}),
    ],
)
def test_a_transposed_convolution_sums_exactly(how, settings, high):
    x, weight, bias = integers(2, 4, 5, 6, high=high), integers(4, 3, 3, 3), integers(3 * how.get("groups", 1))
    got = convolve_transposed(x.float(), weight, bias, spread(2, **how))
    assert torch.equal(got.double(), F.conv_transpose2d(x.double(), weight.double(), bias.double(), **settings))


@pytest.mark.parametrize("shape", [(3, 7), (3, 5, 7)])
def test_a_matrix_product_sums_exactly(shape):
    x, weight, bias = integers(*shape, high=30000), integers(4, 7), integers(4)
    assert torch.equal(multiply(x.float(), weight, bias).double(), F.linear(x.double(), weight.double(), bias.double()))


def test_a_bias_beyond_float32_is_added_exactly():
    """2^24 + 1 is no float32."""
    got = multiply(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.long), torch.tensor([2**24]))
    assert got.tolist() == [[2**24 + 1]]


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize(
    ("layer", "padding"),
    [
        (nn.Conv2d(2, 2, 3, padding=1), ((1, 1), (1, 1))),
        (nn.Conv2d(2, 2, (3, 2), padding="same"), ((1, 1), (0, 1))),
        (nn.Conv2d(2, 2, 3, padding="valid"), ((0, 0), (0, 0))),
    ],
)
def test_padding_as_a_layer_writes_it(layer, padding):
    (found,) = capture(nn.Sequential(layer), torch.zeros(2, 2, 5, 5)).layers
    assert geometry(found).padding == padding
    assert pads_with_zeros(found)


def test_a_reflection_is_no_padding_with_zeros():
    (found,) = capture(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)), torch.zeros(2, 2, 5, 5)).layers
    found.owner.padding_mode = "reflect"
    assert not pads_with_zeros(found)
