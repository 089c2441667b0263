import warnings

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.errors import GraphError
from microjoule.graph.edit import insert_quantizer
from microjoule.graph.network import Example, set_submodule
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from tests.capture.models import MODELS, images


@pytest.fixture
def network():
    return capture(*MODELS["residual"])


def test_tensors_of_an_example_are_in_order_however_they_are_nested():
    a, b, c, d = (torch.tensor(float(i)) for i in range(4))
    example = Example(({"x": a, "y": (b, 3)}, [c]), {"z": d})
    assert [t.item() for t in example.tensors] == [0, 1, 2, 3]


def test_layers_are_listed_once_and_found_by_path(network):
    assert [layer.path for layer in network.layers] == ["conv1", "conv2"]
    assert network.layer("conv2").owner is network.module.conv2
    reused = capture(*MODELS["reused layer"])
    assert [layer.path for layer in reused.layers] == ["conv"]


def test_an_unknown_layer_is_refused_with_the_nearest(network):
    with pytest.raises(GraphError, match=r"conv3: is no layer of this network\n  nearest: conv"):
        network.layer("conv3")
    with pytest.raises(GraphError, match="bn1: is no layer"):
        network.layer("bn1")


def test_an_unknown_node_is_refused(network):
    assert network.node("conv1").target == "conv1"
    with pytest.raises(GraphError, match=r"nothing: is no node"):
        network.node("nothing")


def test_a_copy_can_be_changed_alone(network):
    network.preactivations["conv1"] = Gaussian(torch.zeros(4), torch.ones(4))
    x = images(2, 4, 6, 6)
    before = network(x)
    other = network.copy()
    other.module.conv1.weight.data.zero_()
    other.history.clear()
    other.preactivations.clear()
    insert_quantizer(other, other.node("conv1"), Quantizer(Scheme(IntGrid(8))))
    other.recompile()
    assert torch.equal(network(x), before)
    assert network.history
    assert network.preactivations
    assert not network.quantizers
    assert list(other.quantizers) == ["conv1"]


def test_copying_gives_no_warning_of_torchs_own(network):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.copy().copy()


def test_dead_nodes_go_at_recompilation_and_inputs_stay(network):
    with network.graph.inserting_after(network.node("conv1")):
        network.graph.call_function(torch.ops.aten.relu.default, (network.node("conv1"),))
    count = len(network.graph.nodes)
    network.recompile()
    assert len(network.graph.nodes) == count - 1
    for node in network.graph.nodes:
        assert node.users or node.op == "output"


def test_a_network_moves_with_its_example(network):
    assert network.device == torch.device("cpu")
    network.to("meta")
    assert network.device == torch.device("meta")
    assert network.example.tensors[0].device == torch.device("meta")


def test_it_says_in_a_line_what_it_is(network):
    assert repr(network).endswith("2 layers, 304 parameters)")


def test_it_is_saved_and_loaded(network, tmp_path):
    network.save(tmp_path / "x.mj")
    assert torch.equal(load(tmp_path / "x.mj")(images(2, 4, 6, 6)), network(images(2, 4, 6, 6)))


def test_a_submodule_takes_over_the_children_of_a_plain_container():
    root = nn.Module()
    set_submodule(root, "a.b.c", nn.ReLU())
    layer = nn.Linear(2, 2)
    set_submodule(root, "a.b", layer)
    assert root.a.b is layer
    assert isinstance(root.a.b.c, nn.ReLU)
