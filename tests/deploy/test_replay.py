import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.replay import replay
from microjoule.errors import DataError
from tests.deploy.networks import images


def test_what_is_put_in_a_values_place_goes_on():
    network = capture(nn.Sequential(nn.ReLU(), nn.Sigmoid()), images(2, 3))
    relu = next(node for node in network.graph.nodes if "relu" in str(node.target))
    seen = []

    def put(value):
        seen.append(value)
        return torch.zeros_like(value)

    (output,) = replay(network, [images(4, 3)], {relu: put})
    assert torch.equal(seen[0], images(4, 3).relu())
    assert torch.equal(output, torch.full((4, 3), 0.5))


def test_without_substitutes_it_is_the_network():
    network = capture(nn.Linear(3, 2), images(2, 3))
    with torch.no_grad():
        assert torch.equal(replay(network, [images(4, 3)], {})[0], network(images(4, 3)))


def test_inputs_that_do_not_fit_are_refused():
    network = capture(nn.Linear(3, 2), images(2, 3))
    with pytest.raises(DataError, match="do not go through"):
        replay(network, [images(4, 5)], {})
