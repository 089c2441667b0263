import numpy as np
import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import CaptureError
from tests.capture.models import images


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, first, second=None, *, third=None):
        return self.linear(first - 2 * second + 4 * third)


def test_keyword_inputs_stand_in_the_order_of_the_signature():
    module, x = Keywords(), [images(2, 4) + shift for shift in range(3)]
    network = capture(module, (), {"third": x[2], "second": x[1], "first": x[0]})
    assert [one.name for one in network.contract.inputs] == ["first", "second", "third"]
    expected = module(x[0], x[1], third=x[2])
    assert torch.equal(network(x[0], x[1], third=x[2]), expected)
    assert torch.equal(network(second=x[1], third=x[2], first=x[0]), expected)
    assert torch.equal(network({"second": x[1], "third": x[2], "first": x[0]}), expected)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones((2, 4), np.float32), "numpy array"),
        (torch.full((2, 4), torch.nan), "NaN or infinite"),
        (torch.empty(0, 4), "empty tensor"),
        (torch.ones(2, 4, device="meta"), "without data"),
        (torch.ones(2, 4).to_sparse(), "sparse"),
        (torch.ones(2, 4, dtype=torch.complex64), "complex64"),
        (3, "hold no tensor"),
    ],
)
def test_what_is_no_ordinary_input_is_refused(value, said):
    with pytest.raises(CaptureError, match=said):
        capture(nn.Linear(4, 3), (value,))


def test_inputs_that_do_not_fit_the_signature_are_refused():
    with pytest.raises(CaptureError, match=r"do not fit Linear\.forward"):
        capture(nn.Linear(4, 3), (images(2, 4), images(2, 4)))


def test_a_tensor_given_twice_is_two_inputs():
    module, x = Keywords(), images(2, 4)
    network = capture(module, (x, x), {"third": x})
    a, b, c = images(3, 4), images(3, 4) + 1, images(3, 4) + 2
    assert torch.equal(network(a, b, third=c), module(a, b, third=c))
