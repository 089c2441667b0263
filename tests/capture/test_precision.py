import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.capture.precision import largest_difference
from tests.capture.models import Function, images


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_becomes_float32_and_is_told(dtype):
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).to(dtype)
    network = capture(module, images(2, 4).to(dtype))
    assert network.history[0].converted_from == (str(dtype).removeprefix("torch."),)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert network.contract.inputs[0].dtype == "float32"
    assert network(images(3, 4).to(dtype)).dtype == torch.float32


def test_a_model_in_float32_is_left_alone():
    module = Function(lambda m, x: m.linear(x).double().sum(1).float(), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert network.history[0].converted_from == ()
    assert torch.equal(network(images(3, 4)), module(images(3, 4)))


def test_casts_inside_a_half_model_are_left_out():
    module = Function(lambda m, x: m.linear(x).float().softmax(-1).half(), linear=nn.Linear(4, 3).half())
    network = capture(module, images(2, 4).half())
    assert not any("to" in str(node.target).split(".") for node in network.graph.nodes)


def test_the_coarsest_type_bounds_the_difference():
    assert largest_difference(()) == 0.0
    assert largest_difference((torch.float64, torch.float16)) == 16 * 2**-10
