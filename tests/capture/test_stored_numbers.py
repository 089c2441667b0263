import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import CaptureError
from tests.capture.models import Function, images


class Numbers(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("value", torch.tensor(value))
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        y = self.linear(x) * self.value.item()
        if (self.value * 2).sum() > 3:
            y = y.relu()
        return y + len([one for one in self.value.reshape(-1).tolist() if one > 0])


def test_numbers_of_stored_tensors_are_their_values():
    for value in (0.5, 2.0):
        module = Numbers(value)
        network = capture(module, images(2, 4))
        x = images(5, 4)
        assert torch.equal(network(x), module(x))
        assert any("relu" in str(node.target) for node in network.graph.nodes) == (value == 2.0)


def test_a_stored_tensor_that_was_written_is_no_longer_known():
    def run(m, x):
        count = torch.ones(1)
        count += m.linear.bias.abs()[0]
        return m.linear(x) * float(count)

    module = Function(run, linear=nn.Linear(4, 3))
    with pytest.raises(CaptureError, match="cannot trace"):
        capture(module, images(2, 4))
