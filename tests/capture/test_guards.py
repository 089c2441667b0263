import pytest
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import DataError
from microjoule.graph.contract import BATCH
from tests.capture.models import Function, images


def test_a_free_batch_is_any_from_one():
    contract = capture(nn.Linear(4, 3), images(2, 4)).contract
    assert contract.inputs[0].dims == (BATCH, 4)
    assert contract.sizes[BATCH][0] == 1


def test_a_guard_on_a_free_dimension_is_kept_and_checked():
    module = Function(lambda m, x: m.linear(x.reshape(x.shape[0], 2, -1, 4)), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 6, 4), dynamic=(1,))
    assert network(images(3, 8, 4)).shape == (3, 2, 4, 3)
    with pytest.raises(DataError, match="captured for"):
        network(images(3, 7, 4))


def test_a_length_that_was_not_asked_to_be_free_is_fixed():
    network = capture(Function(lambda m, x: m.linear(x) * x.shape[1], linear=nn.Linear(4, 3)), images(2, 7, 4))
    with pytest.raises(DataError, match="dimension 1 is 9, not 7"):
        network(images(2, 9, 4))
