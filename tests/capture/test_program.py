import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.capture.program import argument_name
from microjoule.errors import CaptureError
from tests.capture.models import Function, images


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x", "x"), ("pair.rest.0", "pair_rest_0"), ("0", "_0"), ("class", "class_1"), ("self", "self_1"), ("a b", "a_b")],
)
def test_names_of_arguments(name, expected):
    assert argument_name(name) == expected


def test_a_region_without_gradients_is_written_out():
    def run(m, x):
        with torch.no_grad():
            y = m.linear(x)
        return y.relu()

    module = Function(run, linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert [layer.path for layer in network.layers] == ["linear"]
    assert torch.equal(network(images(3, 4)), module(images(3, 4)))


def test_a_branch_on_values_is_refused():
    def run(m, x):
        return torch.cond(x.sum() > 0, m.linear, lambda x: -m.linear(x), (x,))

    with pytest.raises(CaptureError, match="runs a graph of its own"):
        capture(Function(run, linear=nn.Linear(4, 3)), images(2, 4))
