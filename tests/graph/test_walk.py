import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.edit import insert_quantizer, quantize_weight
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import calls, is_private, only_user, quantized, readers, through_quantizers, uses
from microjoule.numerics.grid import IntGrid, Scheme
from tests.capture.models import MODELS, Function, images


class Kernel(nn.Module):
    """A weight that functions read."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(4, 4).weight


def test_calls_of_a_module():
    network = capture(*MODELS["reused layer"])
    assert len(calls(network, "conv")) == 3
    assert calls(network, "other") == []


def test_a_layer_that_one_node_calls_is_private():
    network = capture(*MODELS["residual"])
    assert all(is_private(network, layer) for layer in network.layers)


def test_a_layer_that_is_called_twice_or_tied_is_not():
    for name in ("reused layer", "one layer at two paths"):
        network = capture(*MODELS[name])
        assert not any(is_private(network, layer) for layer in network.layers)
    tied = capture(*MODELS["tied"])
    assert {layer.path: is_private(tied, layer) for layer in tied.layers if layer.node.op == "call_module"} == {
        "mixer": True
    }


def test_a_layer_whose_bias_is_used_elsewhere_is_not_private():
    network = capture(Function(lambda m, x: m.layer(x) * m.layer.bias, layer=nn.Linear(4, 4)), images(2, 4))
    assert not is_private(network, network.layer("layer"))


def test_a_stored_weight_that_two_functions_read_is_not_private():
    def function(m, x):
        return F.linear(x, m.kernel.weight) + F.linear(x, m.kernel.weight)

    network = capture(Function(function, kernel=Kernel()), images(2, 4))
    assert not any(is_private(network, layer) for layer in network.layers)


def test_a_weight_that_a_module_and_a_function_use_is_not_private():
    network = capture(Function(lambda m, x: F.linear(m.layer(x), m.layer.weight), layer=nn.Linear(4, 4)), images(2, 4))
    weight = network.layer("layer").stored_weight
    assert [node.op for node in uses(network, weight)] == ["get_attr", "call_module"]
    assert not any(is_private(network, layer) for layer in network.layers)


def test_a_weight_with_a_quantizer_is_used_where_its_layer_is():
    function = Function(lambda m, x: m.layer(x) + F.linear(x, m.kernel.weight), layer=nn.Linear(4, 4), kernel=Kernel())
    network = capture(function, images(2, 4))
    for layer in network.layers:
        assert is_private(network, layer)
        quantize_weight(layer, Quantizer(Scheme(IntGrid(8))))
        assert is_private(network, layer)


def test_the_only_user():
    network = capture(Function(lambda m, x: (x + 1) * x), images(2, 4))
    assert only_user(network.node("add")) is network.node("mul")
    assert only_user(next(iter(network.graph.nodes))) is None


def test_quantizers_are_looked_through():
    network = capture(Function(lambda m, x: F.relu(x + 1) * 2), images(2, 4))
    add = network.node("add")
    assert quantized(network, add) is add
    inner = insert_quantizer(network, add, Quantizer(Scheme(IntGrid(8))))
    assert quantized(network, add) is inner
    assert through_quantizers(network, inner) is add
    assert through_quantizers(network, add) is add
    assert list(readers(network, add)) == [network.node("relu")]
    assert list(readers(network, inner)) == [network.node("relu")]
