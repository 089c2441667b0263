import pytest
import torch
from torch import nn, tensor

from microjoule.capture.export import capture
from microjoule.deploy.trace import DOMAIN, VALUE, WEIGHT, Mark, trace
from microjoule.errors import ExportError
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import Function, images, quantized, small


def marks(model, what):
    return [n.attributes["name"].as_string() for n in model.graph if n.domain == DOMAIN and n.op_type == what]


def test_every_quantizer_is_a_mark():
    network, _ = small("relu")
    model, _ = trace(network)
    assert marks(model, VALUE) == list(network.quantizers)
    assert marks(model, WEIGHT) == [layer.path for layer in network.layers]


def test_a_clamp_that_a_quantizer_alone_reads_becomes_its_bounds():
    network, _ = small("clamp")
    name = list(network.quantizers)[-1]
    network.quantizers[name].set_range(tensor(-1.0), tensor(1.55))
    model, bounds = trace(network)
    assert (int(bounds[name].low), int(bounds[name].high)) == (70, 140)
    assert not {"Clip", "Min", "Max"} & {node.op_type for node in model.graph}


def test_the_network_is_left_as_it_was():
    network, x = small("relu6")
    with torch.no_grad():
        before = network(x)
        trace(network)
        assert torch.equal(network(x), before)
    assert list(network.quantizers)


def test_a_network_captured_with_one_sample_takes_any_number():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1)), images(1, 4, 3, 3))
    model, _ = trace(network)
    assert not isinstance(model.graph.inputs[0].shape[0], int)


def test_a_mark_is_not_run():
    """It stands for a quantizer while the graph is written, and is the identity for shapes only."""
    assert Mark(VALUE, "x").forward(torch.zeros(2, 3)).shape == (2, 3)


def test_quantizers_without_a_range_are_named():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3))
    quantize(network)
    with pytest.raises(ExportError, match="2 quantizers have no range yet"):
        trace(network)


def test_an_operator_without_words_in_onnx_is_named():
    network = quantized(Function(lambda m, x: torch.linalg.qr(m.a(x))[0], a=nn.Conv2d(4, 4, 1)), images(2, 4, 3, 3))
    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        trace(network)
