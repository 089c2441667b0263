"""Which channels go and what is fitted, by hand; a pruned network is really smaller."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from benchmarks.aimet_pruning import candidate_weights, kept_channels, prunable, prune, regression, thinned
from microjoule.numerics.least_squares import moments


class Net(nn.Module):
    """A plain chain, a depthwise layer between two, a concatenation, and a sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.third = nn.Conv2d(6, 4, 1)
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.sum = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        x = self.norm(self.second(self.first(x).relu())).relu()
        x = self.third(self.depthwise(x).relu())
        x = self.squeeze(torch.cat([self.left(x).relu(), self.right(x).relu()], 1))
        return self.last(x + self.sum(x).relu()).mean((2, 3))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return mj.capture(Net().eval(), torch.randn(2, 3, 6, 6))


@pytest.fixture
def inputs():
    return torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_the_largest_norms_stay():
    assert kept_channels(torch.tensor([1.0, 4.0, 3.0, 2.0]), 0.5).tolist() == [False, True, True, False]
    assert kept_channels(torch.tensor([1.0, 4.0, 3.0, 2.0]), 0.01).tolist() == [False, True, False, False]


@pytest.mark.parametrize("intercept", [True, False], ids=["with an intercept", "without"])
def test_regression_finds_what_made_the_outputs(intercept):
    torch.manual_seed(0)
    x, w = torch.randn(50, 4, dtype=torch.float64) + 1, torch.randn(2, 4, dtype=torch.float64)
    w[:, 2] = 0
    b = torch.tensor([1.0, -2.0], dtype=torch.float64) * intercept
    used = torch.tensor([True, True, False, True])
    found, bias = regression(moments(x[None], (x @ w.T + b)[None]), used, intercept=intercept)
    assert_close(found, w)
    if intercept:
        assert_close(bias, b)


def test_regression_on_too_few_rows_takes_the_least_norm():
    x, y = torch.tensor([[1.0, 1.0]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)
    found, _ = regression(moments(x[None], y[None]), torch.tensor([True, True]), intercept=False)
    assert_close(found, torch.tensor([[1.0, 1.0]], dtype=torch.float64))


def test_layers_whose_inputs_have_one_maker_and_one_reader_can_be_pruned(network):
    found = prunable(network)
    assert set(found) == {"second", "third", "squeeze"}
    assert {group for group, _ in found["squeeze"]} == {"left", "right"}
    assert {group for group, _ in found["third"]} == {"second"}
    assert found["second"] == [("first", unit) for unit in range(8)]


def test_a_pruned_network_is_really_smaller(network, inputs):
    found = prune(network, inputs, {"second": 0.5, "third": 0.5, "squeeze": 0.25})
    shapes = {layer.path: tuple(layer.stored_weight.shape[:2]) for layer in found.layers}
    assert (shapes["first"], shapes["second"], shapes["third"]) == ((4, 3), (3, 4), (4, 3))
    assert shapes["left"][0] + shapes["right"][0] == shapes["squeeze"][1]
    assert found(inputs).shape == (40, 5)


def test_of_each_group_one_channel_stays(network, inputs):
    network.layer("squeeze").owner.weight.data[:, 4:] *= 1e-3
    found = thinned(network, {"squeeze": 0.3}, prunable(network))
    assert (found.layer("left").out_channels, found.layer("right").out_channels) == (2, 1)


def test_a_copy_of_another_channel_is_made_up_for(network, inputs):
    """Channel 7 of the first layer is twice channel 6, and read by small weights: nothing is lost without it."""
    first, second = network.layer("first").owner, network.layer("second").owner
    first.weight.data[7], first.bias.data[7] = 2 * first.weight.data[6], 2 * first.bias.data[6]
    second.weight.data[:, 7] *= 0.3
    before = network(inputs)
    assert (thinned(network, {"second": 0.875}, prunable(network))(inputs) - before).abs().max() > 1e-4
    found = prune(network, inputs, {"second": 0.875})
    assert found.layer("first").out_channels == 7
    assert_close(found(inputs), before, atol=1e-5, rtol=1e-4)


def test_a_later_layer_makes_up_for_an_earlier_one(network, inputs):
    """Layers are fitted in turn: the second reads what the pruned first one gives."""
    alone = candidate_weights(network, inputs)["third"][0.9][0]
    in_turn = prune(network, inputs, {"second": 0.3, "third": 0.9}).layer("third").stored_weight
    kept = alone.flatten(1).norm(dim=0) > 0
    assert in_turn.shape[1] == int(kept.sum()) == 5
    assert (alone[:, kept] - in_turn).abs().max() > 1e-2


def test_candidates_have_the_shape_of_the_layer_and_zeros_for_what_goes(network, inputs):
    found = candidate_weights(network, inputs)
    weight, bias = found["second"][0.3]
    assert weight.shape == (6, 8, 3, 3)
    assert bias is None
    assert int((weight.abs().sum((0, 2, 3)) > 0).sum()) == 2
    assert found["third"][0.5][1].shape == (4,)
