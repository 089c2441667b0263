import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from tests.capture.models import Function, images


def test_what_only_a_constant_reads_is_dropped_and_told():
    module = Function(lambda m, x: F.linear(x, m.linear.weight * 2, m.linear.bias), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    record = network.history[0]
    assert record.folded == ("linear.weight",)
    (layer,) = network.layers
    assert torch.equal(layer.weight, 2 * module.linear.weight)
    assert torch.equal(network(images(3, 4)), module(images(3, 4)))


def test_a_replaced_operator_differs_by_a_rounding_at_most():
    module = Function(lambda m, x: x @ m.linear.weight.T, linear=nn.Linear(64, 30))
    network = capture(module, images(2, 64))
    assert [layer.kind for layer in network.layers] == ["linear"]
    assert network.history[0].largest_difference <= 5e-5


def test_the_network_shares_no_tensor_with_the_model():
    module = nn.Linear(4, 3)
    network = capture(module, images(2, 4))
    before = network(images(2, 4))
    with torch.no_grad():
        module.weight.zero_()
    assert torch.equal(network(images(2, 4)), before)
