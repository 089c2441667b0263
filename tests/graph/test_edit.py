import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.activation import Activation
from microjoule.graph.edit import (
    bias_of,
    bounds_of,
    by_input,
    clamp_channels,
    insert_quantizer,
    per_input,
    quantize_weight,
    scale_inputs,
    scale_outputs,
    set_bias,
    set_weight,
)
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from tests.capture.models import Function, images

LAYERS = {
    "conv": (nn.Conv2d(4, 6, 3), (4, 5, 5)),
    "no bias": (nn.Conv2d(4, 6, 3, bias=False), (4, 5, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (4, 5, 5)),
    "1d": (nn.Conv1d(4, 6, 3), (4, 5)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5)),
    "linear": (nn.Linear(4, 6), (4,)),
    "function": (
        Function(lambda m, x: F.linear(x, m.kernel.value), kernel=nn.Module()),
        (4,),
    ),
}
LAYERS["function"][0].kernel.value = nn.Parameter(torch.randn(6, 4))


@pytest.fixture(params=LAYERS)
def made(request):
    module, shape = LAYERS[request.param]
    network = capture(nn.Sequential(module), images(2, *shape))
    (layer,) = network.layers
    return network, layer, images(3, *shape)


def channels(values, like):
    return values.reshape(-1, *[1] * (like.dim() - 2))


def outputs(network, x):
    with torch.no_grad():
        return network(x)


def test_scaling_outputs_scales_each_channel(made):
    network, layer, x = made
    network.preactivations[layer.path] = Gaussian(torch.ones(layer.out_channels), torch.ones(layer.out_channels))
    before, scale = outputs(network, x), torch.rand(layer.out_channels) + 0.5
    scale_outputs(network, layer, scale)
    torch.testing.assert_close(outputs(network, x), before * channels(scale, before))
    assert torch.equal(network.preactivations[layer.path].std, scale)


def test_scaling_inputs_is_scaling_what_comes_in(made):
    network, layer, x = made
    scale = torch.rand(layer.in_channels) + 0.5
    expected = outputs(network, x * channels(scale, x))
    scale_inputs(layer, scale)
    torch.testing.assert_close(outputs(network, x), expected)


def test_a_bias_is_stored_even_where_there_was_none(made):
    network, layer, x = made
    before, bias = outputs(network, x), torch.randn(layer.out_channels)
    old = bias_of(layer).clone()
    set_bias(network, layer, bias)
    network.recompile()
    torch.testing.assert_close(outputs(network, x), before + channels(bias - old, before))
    torch.testing.assert_close(bias_of(network.layers[0]), bias)


def test_a_weight_is_stored_under_its_quantizer(made):
    network, layer, x = made
    quantizer = Quantizer(Scheme(IntGrid(8), symmetric=True))
    quantizer.set_range(torch.tensor(-2.0), torch.tensor(2.0))
    quantize_weight(layer, quantizer)
    weight = torch.randn(layer.stored_weight.shape)
    set_weight(layer, weight)
    assert torch.equal(layer.stored_weight, weight)
    assert torch.equal(layer.weight, quantizer(weight))
    assert outputs(network, x).isfinite().all()


def test_a_second_quantizer_takes_the_place_of_the_first(made):
    _, layer, _ = made
    weight = layer.stored_weight.detach().clone()
    for bits in (2, 8):
        quantizer = Quantizer(Scheme(IntGrid(bits), symmetric=True))
        quantizer.set_range(torch.tensor(-2.0), torch.tensor(2.0))
        quantize_weight(layer, quantizer)
    assert layer.quantizer is quantizer
    assert torch.equal(layer.stored_weight, weight)


def test_weights_by_input_are_those_that_scale_with_it(made):
    _, layer, _ = made
    weight = layer.by_output(layer.stored_weight.detach())
    scale = torch.rand(layer.in_channels) + 0.5
    rows = by_input(layer, weight)
    assert rows.shape[0] == layer.in_channels
    torch.testing.assert_close(by_input(layer, weight * per_input(layer, scale)), rows * scale[:, None])


def test_a_clamp_with_bounds_of_each_channel():
    network = capture(Function(lambda m, x: F.relu6(x) + 1), images(2, 4, 3, 3))
    node = next(node for node in network.graph.nodes if Activation.at(network.module, node))
    low, high = bounds_of(network, node, torch.zeros(4), 2)
    assert low.shape == high.shape == (4, 1, 1)
    assert torch.equal(high.flatten(), torch.full((4,), 6.0))
    caps = torch.tensor([0.5, 1.0, 2.0, 6.0]).reshape(4, 1, 1)
    clamp = clamp_channels(network, node, low, caps)
    network.recompile()
    x = 4 * images(2, 4, 3, 3)
    assert torch.equal(network(x), torch.minimum(x.clamp(min=0), caps) + 1)
    assert clamp_channels(network, clamp, low, caps / 2) is clamp
    assert torch.equal(network(x), torch.minimum(x.clamp(min=0), caps / 2) + 1)
    assert torch.equal(bounds_of(network, clamp, torch.zeros(4), 2)[1], caps / 2)


def test_everyone_reads_the_quantized_value():
    network = capture(Function(lambda m, x: (x + 1) * (x + 1).relu()), images(2, 4))
    add = network.node("add")
    quantizer = Quantizer(Scheme(IntGrid(8)))
    node = insert_quantizer(network, add, quantizer)
    network.recompile()
    assert list(add.users) == [node]
    assert network.quantizers == {"add": quantizer}
