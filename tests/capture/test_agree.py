import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import CaptureError, DataError
from tests.capture.models import Function, images


def test_other_batches_are_compared_and_recorded():
    network = capture(nn.Linear(4, 3), images(2, 4))
    assert network.history[0].batches_compared == (2, 3, 1)


def test_a_batch_that_the_trace_gets_wrong_is_fixed_with_the_reason():
    """A size that escapes the guards by way of a float."""
    module = Function(lambda m, x: m.linear(x) * int(x.shape[0] / 1.0), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert not network.dynamic_batch
    assert "it holds only where" in network.history[0].batch_fixed
    assert network.history[0].batches_compared == (2,)
    with pytest.raises(DataError, match="captured for"):
        network(images(5, 4))


def test_a_model_that_remembers_is_refused():
    def run(m, x):
        m.count = getattr(m, "count", 0) + 1
        return m.linear(x) * m.count

    with pytest.raises(CaptureError, match=r"differs by .* at a second call"):
        capture(Function(run, linear=nn.Linear(4, 3)), images(2, 4))


def test_a_half_model_is_held_to_its_own_type_and_computes_in_float32():
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).bfloat16().eval()
    x = images(3, 4)
    network = capture(module, x.bfloat16())
    assert network.history[0].converted_from == ("bfloat16",)
    assert 0 < network.history[0].largest_difference <= 16 * torch.finfo(torch.bfloat16).eps
    assert torch.equal(network(x), module.float()(x))
