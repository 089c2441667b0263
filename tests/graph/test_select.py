"""Inputs that a layer picks: the network computes the same as with the columns set to 0."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.errors import GraphError
from microjoule.graph.file.read import read
from microjoule.graph.select import select_inputs
from tests.capture.models import images

KEEP = torch.tensor([True, False, True, True, False, False])


def net():
    torch.manual_seed(0)
    return capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), images(2, 4))


def test_the_network_computes_what_it_did_with_the_columns_at_0(tmp_path):
    network, x = net(), images(5, 4)
    masked = network.copy()
    with torch.no_grad():
        masked.layer("2").stored_weight.mul_(KEEP)
    select_inputs(network, "2", KEEP)
    assert_close(network(x), masked(x))
    assert tuple(network.layer("2").stored_weight.shape) == (3, 3)
    assert network.layer("2").in_channels == 3
    network.save(tmp_path / "n.mj")
    assert torch.equal(read(tmp_path / "n.mj")(x), network(x))
    assert torch.equal(network.copy()(x), network(x))


def test_a_layer_picks_twice_with_one_index():
    network, x, once = net(), images(5, 4), net()
    select_inputs(network, "2", KEEP)
    select_inputs(network, "2", torch.tensor([True, False, True]))
    select_inputs(once, "2", torch.tensor([True, False, False, True, False, False]))
    assert_close(network(x), once(x))
    assert [index.tolist() for index in network.module.buffers()] == [[0, 3]]
    assert sum("index_select" in node.name for node in network.graph.nodes) == 1


def test_what_others_read_of_picked_inputs_stays():
    network, x = net(), images(5, 4)
    select_inputs(network, "2", KEEP)
    (layer,) = (node for node in network.graph.nodes if node.target == "2")
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    with network.graph.inserting_before(output):
        output.args = (network.graph.call_function(torch.ops.aten.cat.default, ([layer, layer.args[0]], 1)),)
    network.recompile()
    picked = network(x)[:, 3:]
    select_inputs(network, "2", torch.tensor([False, True, False]))
    both = network(x)
    assert torch.equal(both[:, 3:], picked)
    owner = network.layer("2").owner
    assert_close(both[:, :3], owner.bias + picked[:, [1]] @ owner.weight.T)


def test_layers_whose_paths_differ_in_a_dot_do_not_meet():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a_b, self.a = nn.Linear(4, 3), nn.Module()
            self.a.b = nn.Linear(3, 3)

        def forward(self, x):
            return self.a.b(self.a_b(x))

    network = capture(Two(), images(2, 4))
    select_inputs(network, "a_b", torch.tensor([False, True, False, False]))
    select_inputs(network, "a.b", torch.tensor([True, False, True]))
    assert [index.tolist() for index in network.module.buffers()] == [[1], [0, 2]]
    assert network(images(2, 4)).shape == (2, 3)


def test_where_all_stay_nothing_changes():
    network = net()
    before = str(network.graph)
    select_inputs(network, "2", torch.ones(6, dtype=torch.bool))
    assert str(network.graph) == before


def test_what_is_no_linear_layer_is_refused():
    network = capture(nn.Conv2d(3, 2, 1), images(2, 3, 4, 4))
    path = network.layers[0].path
    with pytest.raises(GraphError, match="cannot read fewer inputs"):
        select_inputs(network, path, torch.tensor([True, False, True]))
