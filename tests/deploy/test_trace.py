import re

import pytest
import torch
from torch import nn, tensor

from microjoule.capture.export import capture
from microjoule.deploy.trace import DOMAIN, VALUE, WEIGHT, Mark, trace, users_line
from microjoule.errors import ExportError
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import Function, images, small


def marks(model, what):
    return [n.attributes["name"].as_string() for n in model.graph if n.domain == DOMAIN and n.op_type == what]


def test_every_quantizer_is_a_mark():
    network, _ = small("relu")
    model = trace(network).model
    assert marks(model, VALUE) == list(network.quantizers)
    assert marks(model, WEIGHT) == [layer.path for layer in network.layers]


def test_a_clamp_that_a_quantizer_alone_reads_becomes_its_bounds():
    network, _ = small("clamp")
    name = list(network.quantizers)[-1]
    network.quantizers[name].set_range(tensor(-1.0), tensor(1.55))
    traced = trace(network)
    model, bounds = traced.model, traced.bounds
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
    model = trace(network).model
    assert not isinstance(model.graph.inputs[0].shape[0], int)


def test_a_mark_is_not_run():
    """It stands for a quantizer while the graph is written, and is the identity for shapes only."""
    assert Mark(VALUE, "x").forward(torch.zeros(2, 3)).shape == (2, 3)


def test_quantizers_without_a_range_are_named():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3))
    quantize(network)
    with pytest.raises(ExportError, match="2 quantizers have no range yet"):
        trace(network)


class Model(nn.Module):
    def forward(self, x):
        halves = x.relu() / 2
        return torch.linalg.qr(halves)[0]


def test_an_operator_without_words_in_onnx_is_named_with_the_users_line():
    network = capture(Model(), images(2, 4, 4))
    with pytest.raises(ExportError) as caught:
        trace(network)
    assert re.fullmatch(
        r"linalg_qr \(aten\.linalg_qr\.default, .*test_trace\.py:\d+ `return torch\.linalg\.qr\(halves\)\[0\]`\)",
        caught.value.place,
    )
    assert caught.value.fact == "cannot be written as ONNX: ONNX has no such operator"


def test_an_error_says_nothing_of_the_exporter():
    """Its own last line is "(Refer to the full stack trace above for more information.)"."""
    network = capture(Function(lambda m, x: torch.linalg.qr(m.a(x))[0], a=nn.Conv2d(4, 4, 1)), images(2, 4, 3, 3))
    with pytest.raises(ExportError) as caught:
        trace(network)
    assert "stack trace" not in str(caught.value)
    assert "\n" not in caught.value.fact


def test_a_node_that_nobody_can_place_has_no_line():
    node = next(iter(capture(nn.ReLU(), images(2, 3)).graph.nodes))
    assert users_line(node) == ""


@pytest.mark.parametrize("opset", [17, 18, 20, 22])
def test_the_opset_is_that_which_is_asked_for(opset):
    network, _ = small("relu")
    assert trace(network, opset=opset).model.opset_imports[""] == opset


def test_an_opset_that_cannot_be_written_is_refused():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1), nn.Mish()), images(2, 4, 3, 3))
    with pytest.raises(ExportError, match="cannot be written in opset 12"):
        trace(network, opset=12)
