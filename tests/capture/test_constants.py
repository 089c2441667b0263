import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from microjoule.capture.export import capture
from tests.capture.models import Function, images


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_a_normalized_weight_is_a_plain_layers(norm):
    module = nn.Sequential(norm(nn.Linear(4, 3))).eval()
    network = capture(module, images(2, 4))
    (layer,) = network.layers
    assert layer.path == "0"
    torch.testing.assert_close(layer.weight, module[0].weight)
    assert {node.op for node in network.graph.nodes} == {"placeholder", "call_module", "output"}


def test_a_table_of_positions_is_stored_and_follows_no_input():
    module = Function(lambda m, x: m.linear(x) + torch.arange(3.0).sin(), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert not any("sin" in str(node.target) for node in network.graph.nodes)
    assert torch.equal(network(images(5, 4)), module(images(5, 4)))


def test_what_the_input_reaches_is_not_folded():
    module = Function(lambda m, x: F.linear(x, m.linear.weight * x.sum()), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert network.history[0].folded == ()
    for x in (images(2, 4), images(2, 4) + 3):
        assert torch.equal(network(x), module(x))


def test_random_numbers_are_no_constants():
    module = Function(lambda m, x: m.linear(x) + 0 * torch.rand(3), linear=nn.Linear(4, 3))
    assert any("rand" in str(node.target) for node in capture(module, images(2, 4)).graph.nodes)
