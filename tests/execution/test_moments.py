from dataclasses import fields

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
from microjoule.execution.moments import input_moments
from microjoule.execution.run import run
from microjoule.numerics.least_squares import moments
from tests.capture.models import Function, images


@pytest.fixture
def network():
    torch.manual_seed(0)
    modules = {"conv": nn.Conv2d(3, 4, 3, stride=2, padding=1), "depthwise": nn.Conv2d(4, 4, 3, groups=4)}
    modules |= {"left": nn.Linear(4, 5), "right": nn.Linear(4, 2)}

    def function(m, x):
        pooled = m.depthwise(m.conv(x).relu()).mean((2, 3))
        return m.left(pooled), m.right(pooled)

    return capture(Function(function, **modules).eval(), images(2, 3, 9, 9))


def rows_of(x, kernel, **how):
    return F.unfold(x, kernel, **how).transpose(1, 2).flatten(0, 1)


def assert_same(found, expected):
    for field in fields(expected):
        assert_close(getattr(found, field.name), getattr(expected, field.name), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("data", ["tensor", "loader"])
def test_all_places_give_the_moments_of_all_patches(network, data):
    x = images(5, 3, 9, 9)
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(5)), batch_size=2)
    found = input_moments(network, x if data == "tensor" else pairs, network.layers)
    assert list(found) == ["conv", "depthwise", "left", "right"]
    conv, depthwise, left, right = network.layers
    with torch.no_grad():
        y = conv.owner(x)
        assert_same(
            found["conv"],
            moments(rows_of(x, 3, stride=2, padding=1)[None], y.permute(0, 2, 3, 1).flatten(0, 2)[None]),
        )
        z = depthwise.owner(y.relu())
        grouped = rows_of(y.relu(), 3).unflatten(1, (4, 9)).transpose(0, 1)
        assert_same(found["depthwise"], moments(grouped, z.permute(1, 0, 2, 3).flatten(1)[..., None]))
        pooled = z.mean((2, 3))
        for layer in (left, right):
            assert_same(found[layer.path], moments(pooled[None], layer.owner(pooled)[None]))


def test_fewer_places_are_chosen_by_the_seed(network):
    x, layers = images(8, 3, 9, 9), network.layers[:1]
    one, same, other = (input_moments(network, x, layers, rows=16, seed=seed)["conv"] for seed in (0, 0, 1))
    assert torch.equal(one.second, same.second)
    assert not torch.equal(one.second, other.second)


def test_only_so_many_samples_are_used(network):
    x, layers = images(8, 3, 9, 9), network.layers
    some, those = input_moments(network, x, layers, samples=3), input_moments(network, x[:3], layers)
    for path in some:
        assert torch.equal(some[path].second, those[path].second)


def test_a_layer_that_reads_a_layer(network):
    torch.manual_seed(0)
    chain = capture(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).eval(), images(2, 4))
    x = images(6, 4)
    found = input_moments(chain, x, chain.layers)
    middle = chain.layers[0].owner(x).detach()
    assert_same(found["1"], moments(middle[None], run(chain, (x,))[None]))


def test_a_layer_that_is_called_twice_is_its_first_call():
    torch.manual_seed(0)
    shared = capture(Function(lambda m, x: m.same(m.same(x).relu()), same=nn.Linear(4, 4)).eval(), images(2, 4))
    x = images(6, 4)
    assert_same(
        input_moments(shared, x, shared.layers)["same"], moments(x[None], shared.layers[0].owner(x).detach()[None])
    )


def test_the_network_is_left_as_it_was(network):
    before, x = {key: one.clone() for key, one in network.state_dict().items()}, images(4, 3, 9, 9)
    input_moments(network, x, network.layers)
    assert all(torch.equal(one, before[key]) for key, one in network.state_dict().items())


def test_bad_data_is_refused(network):
    with pytest.raises(DataError, match="and the network was captured for"):
        input_moments(network, images(2, 4, 9, 9), network.layers)
    with pytest.raises(SettingError, match="samples: is 0"):
        input_moments(network, images(2, 3, 9, 9), network.layers, samples=0)
