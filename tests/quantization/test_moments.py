"""What batch norms tell about every value, against Monte Carlo and by hand."""

import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.moments import normal, propagate


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
