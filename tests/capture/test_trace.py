import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.capture.trace import batch_axes
from microjoule.errors import CaptureError
from tests.capture.models import Function, images


def test_the_likeliest_batch_is_that_of_all_tensors_of_the_first_ones_size():
    row = [torch.zeros(2, 4), torch.zeros(2), torch.zeros(3, 2), torch.zeros(())]
    free, none = frozenset([0]), frozenset()
    assert batch_axes(row, 0) == [(free, free, none, none), (free, none, none, none), (free, free, free, none)]
    assert batch_axes([torch.zeros(())], 0) == []


def test_an_example_of_one_sample_gives_a_free_batch():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    network = capture(module, images(1, 3, 4, 4))
    assert network.dynamic_batch
    assert torch.equal(network(images(5, 3, 4, 4)), module(images(5, 3, 4, 4)))


def test_a_batch_that_is_a_number_in_the_model_is_fixed_with_the_reason():
    module = Function(lambda m, x: m.linear(x).reshape(2, -1).relu(), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    x = images(2, 4)
    assert torch.equal(network(x), module(x))
    assert not network.dynamic_batch
    assert "computes with dimension 0 of args.0 as a number" in network.history[0].batch_fixed


def test_control_flow_that_depends_on_values_is_refused():
    def run(m, x):
        return m.linear(x) if x.sum() > 0 else -m.linear(x)

    with pytest.raises(CaptureError, match=r"torch\.export cannot trace it"):
        capture(Function(run, linear=nn.Linear(4, 3)), images(2, 4))


def test_a_dimension_that_was_asked_to_be_free_and_is_not_is_refused():
    module = Function(lambda m, x: m.linear(x.reshape(x.shape[0], 28)), linear=nn.Linear(28, 3))
    with pytest.raises(CaptureError, match="dynamic"):
        capture(module, images(2, 7, 4), dynamic=(1,))
