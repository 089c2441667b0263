import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.activation import Activation
from microjoule.graph.ops import aten
from tests.capture.models import Function, images


def last(network):
    return network.graph.output_node().all_input_nodes[0]


@pytest.mark.parametrize(
    ("function", "bounds"),
    [
        (lambda m, x: F.relu(x), (0, float("inf"))),
        (lambda m, x: F.relu6(x), (0, 6)),
        (lambda m, x: F.hardtanh(x, -2, 3), (-2, 3)),
        (lambda m, x: x.clamp(max=4), (-float("inf"), 4)),
        (lambda m, x: x.clamp_min(1), (1, float("inf"))),
    ],
)
def test_clamps_have_their_bounds(function, bounds):
    network = capture(Function(function), images(2, 4))
    activation = Activation.at(network.module, last(network))
    assert (activation.low, activation.high) == bounds


@pytest.mark.parametrize("function", [lambda m, x: F.silu(x), lambda m, x: x.clamp(x.min(), x.max())])
def test_what_is_no_clamp_with_known_bounds_is_none(function):
    network = capture(Function(function), images(2, 4))
    assert Activation.at(network.module, last(network)) is None


def test_a_clamp_by_stored_tensors_has_them():
    class Clamp(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("low", torch.zeros(4))
            self.register_buffer("high", torch.arange(4.0))

        def forward(self, x):
            return torch.clamp(x, self.low, self.high)

    network = capture(nn.Sequential(Clamp()), images(2, 4))
    assert last(network).target is aten.clamp.Tensor
    assert torch.equal(Activation.at(network.module, last(network)).high, torch.arange(4.0))
