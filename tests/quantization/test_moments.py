"""What batch norms tell about every value, against Monte Carlo and by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import microjoule as mj
from microjoule.numerics.gaussian import Gaussian
from microjoule.quantization.moments import normal, propagate
from tests.capture.models import Function


def folded(module, x):
    network = mj.capture(module.eval(), x)
    mj.fold_batch_norms(network)
    return network


def test_a_relu_after_a_batch_norm_matches_monte_carlo():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU6())
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        module[1].bias.copy_(torch.tensor([0.0, 5.0, -1.0]))
    network = folded(module, torch.randn(2, 1, 4, 4))
    known = propagate(network, (-1.0, 1.0))
    value = next(known[node] for node in reversed(list(network.graph.nodes)) if node in known)
    draws = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)) * module[1].weight + module[1].bias
    clipped = draws.clamp(0, 6).detach()
    assert_close(value.mean, clipped.mean(0), rtol=0.02, atol=0.01)
    assert_close(value.var, clipped.var(0), rtol=0.03, atol=0.01)


def test_a_layer_without_statistics_gives_its_weights_times_the_mean():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.copy_(torch.tensor([0.5]))
    network = mj.capture(layer, torch.randn(3, 2))
    known = propagate(network, (0.0, 1.0))
    value, source = known[network.layers[0].node], next(iter(known.values()))
    assert_close(value.mean, torch.tensor([2 * 0.5 - 0.5 + 0.5]))
    assert_close(value.var, (4 + 1) * source.var[:1])


def test_a_sum_adds_means_and_variances():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)) for _ in range(2))

        def forward(self, x):
            return self.a(x) + self.b(x)

    module = Residual()
    with torch.no_grad():
        module.a[1].weight.fill_(3.0)
        module.b[1].weight.fill_(4.0)
        module.a[1].bias.fill_(1.0)
        module.b[1].bias.fill_(2.0)
    network = folded(module, torch.randn(2, 2, 3, 3))
    value = propagate(network, (-1.0, 1.0))[network.node("add")]
    assert_close(value.mean, torch.full((2,), 3.0))
    assert_close(value.var, torch.full((2,), 25.0))


def test_nothing_is_said_where_nothing_is_known():
    class Product(nn.Module):
        def forward(self, x):
            return torch.sin(x) * x

    network = mj.capture(Product(), torch.randn(2, 2, 3, 3))
    assert [node.op for node in propagate(network, (-1.0, 1.0))] == ["placeholder"]


def test_an_unclipped_value_has_no_bounds():
    value = normal(torch.tensor([1.0]), torch.tensor([4.0]))
    assert (value.mean, value.var, value.before.std) == (1.0, 4.0, 2.0)
    assert value.low == -float("inf")


def value_of(network, input_range=(0.0, 1.0)):
    """What is known of the value that the network gives, or None."""
    known = propagate(network, input_range)
    output = next(node for node in network.graph.nodes if node.op == "output")
    return known.get(output.all_input_nodes[0])


def statistics(channels=3):
    """A convolution and a batch norm with the means 1, 2, ... and a standard deviation of 0.5."""
    module = nn.Sequential(nn.Conv2d(2, channels, 1), nn.BatchNorm2d(channels))
    with torch.no_grad():
        module[1].weight.fill_(0.5)
        module[1].bias.copy_(torch.arange(1.0, channels + 1))
    return module


@pytest.mark.parametrize(
    "after",
    [
        nn.Identity(),
        nn.Dropout(),
        nn.AvgPool2d(2),
        nn.ZeroPad2d(1),
        nn.Upsample(scale_factor=2),
        nn.AdaptiveAvgPool2d(1),
    ],
    ids=repr,
)
def test_operators_over_space_pass_a_channels_mean(after):
    value = value_of(folded(nn.Sequential(statistics(), after), torch.randn(2, 2, 4, 4)))
    assert_close(value.mean, torch.tensor([1.0, 2.0, 3.0]))


def test_flattening_lays_a_channels_values_side_by_side():
    value = value_of(folded(nn.Sequential(statistics(), nn.Flatten()), torch.randn(2, 2, 1, 2)))
    assert_close(value.mean, torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]))


def test_concatenated_channels_stand_side_by_side():
    def function(m, x):
        return torch.cat([m.a(x).relu(), m.b(x)], 1)

    value = value_of(folded(Function(function, a=statistics(2), b=statistics(3)), torch.randn(2, 2, 4, 4)))
    assert_close(value.before.mean, torch.tensor([1.0, 2.0, 1.0, 2.0, 3.0]))
    assert value.low.tolist() == [0, 0, *[-float("inf")] * 3]


def test_tokens_go_from_linear_layer_to_linear_layer():
    first, second = nn.Linear(4, 4), nn.Linear(4, 2)

    def function(m, x):
        return m.second(m.first(x).relu())

    network = mj.capture(Function(function, first=first, second=second), torch.randn(2, 4, 4))
    network.preactivations["first"] = Gaussian(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.zeros(4))
    expected = second.weight @ torch.tensor([1.0, 2.0, 3.0, 4.0]) + second.bias
    assert_close(value_of(network).mean, expected.detach())


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: torch.cat([m.a(x), m.a(x)], 2),
        lambda m, x: m.a(x).mean(1),
        lambda m, x: F.pad(m.a(x), (1, 1), value=3.0),
        lambda m, x: F.pad(m.a(x), (0, 0, 0, 0, 1, 0)),
        lambda m, x: torch.add(m.a(x), m.b(x), alpha=2),
        lambda m, x: m.a(x) + x[:, :1],
        lambda m, x: m.a(x).transpose(1, 2),
        lambda m, x: m.line(m.a(x)),
        lambda m, x: m.line(m.a(x)).flatten(1),
        lambda m, x: m.line(m.a(x)).relu() + m.a(x),
    ],
    ids=["concat", "mean", "pad", "channels", "alpha", "slice", "transpose", "axis", "flatten", "mixed"],
)
def test_where_channels_do_not_stay_apart_nothing_is_said(function):
    module = Function(function, a=statistics(), b=statistics(), line=nn.Linear(3, 3))
    assert value_of(folded(module, torch.randn(2, 2, 3, 3))) is None


def test_one_clamp_after_another_is_clamped_twice():
    module = nn.Sequential(statistics(1), nn.ReLU(), nn.Hardtanh(-2.0, -1.0))
    value = value_of(folded(module, torch.randn(2, 2, 3, 3)))
    assert value.mean == -1
    assert value.var == 0


def test_an_input_is_taken_as_uniform():
    network = mj.capture(nn.Sequential(nn.Conv2d(2, 1, 1)), torch.randn(2, 2, 3, 3))
    value = propagate(network, (-1.0, 3.0))[next(iter(network.graph.nodes))]
    assert_close(value.before.mean, torch.ones(2))
    assert_close(value.before.std, torch.full((2,), 4 / 12**0.5))
    assert (value.low.tolist(), value.high.tolist()) == ([-1, -1], [3, 3])


@pytest.mark.slow
@pytest.mark.parametrize("after", [nn.Flatten(), nn.MaxPool1d(3, 1, 1)], ids=repr)
def test_the_channels_of_tokens_are_not_taken_for_dimension_1(after):
    network = mj.capture(nn.Sequential(nn.Linear(4, 4), after), torch.randn(2, 4, 4))
    network.preactivations["0"] = Gaussian(torch.arange(4.0), torch.ones(4))
    assert network.layers[0].node in propagate(network, (0.0, 1.0))
    assert value_of(network) is None
