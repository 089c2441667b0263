"""A layer's problem by hand, and what is skipped."""

from functools import partial

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import GraphError
from microjoule.execution.reconstruct import Look, Rows
from microjoule.numerics.least_squares import moments
from microjoule.numerics.ranges import min_max
from microjoule.quantization.layer_fit import Method, Problem, fit_layers


def network_of(*modules, shape, target="per-tensor"):
    torch.manual_seed(0)
    x = torch.rand(16, *shape)
    network = mj.capture(nn.Sequential(*modules), x)
    mj.quantize(network, target=target, weights=4, weight_rule=min_max)
    mj.calibrate(network, x)
    return network, x


def test_a_problem_by_hand():
    """y = 2 x + 1 from a weight of 1: with a ridge of 0.3 the refit is (2 + 0.3 * 1) / 1.3, in steps of 1 / 7."""
    network, _ = network_of(nn.Linear(1, 1), shape=(1,), target="onnxruntime")
    layer = network.layers[0]
    with torch.no_grad():
        layer.stored_weight.fill_(1.0)
        layer.bias.fill_(0.0)
    layer.quantizer.set_range(tensor([-1.0]), tensor([1.0]))
    x = tensor([[[-1.0], [1.0]]])
    problem = Problem.of(Rows(layer, moments(x, 2 * x + 1), None, x, 2 * x + 1))
    assert_close(problem.wanted, tensor([[[2.3 / 1.3 * 7]]]).double(), rtol=1e-6, atol=0)
    firmer = Problem.of(problem.rows, ridge=1.0)
    assert_close(firmer.wanted, tensor([[[3 / 2 * 7]]]).double(), rtol=1e-6, atol=0)
    assert (problem.low.item(), problem.high.item()) == (-7, 7)
    assert_close(problem.rounded(), tensor([[[7.0]]]).double())
    seven = tensor([[[7.0]]]).double()
    assert problem.error(seven) == pytest.approx(0.25)  # left of y: x, of variance 4
    assert problem.error(seven, tensor([0.0])) == pytest.approx(0.5)  # and 1 of the mean
    found = problem.solved(seven)
    assert (found.integers.tolist(), found.bias.tolist()) == ([[7]], [1.0])
    assert (found.error_before, found.error_after) == (pytest.approx(0.5), pytest.approx(0.25))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 4, 4)),
        (nn.Linear(5, 3), (5,)),
    ],
)
@pytest.mark.parametrize("target", ["per-tensor", "xnnpack"])
def test_nearest_integers_are_those_that_the_layer_rounds_to(module, shape, target):
    network, x = network_of(module, shape=shape, target=target)
    before = network.layers[0].weight.detach().clone()
    fit_layers(network, x, lambda problem: problem.solved(problem.rounded()), Method("nearest", {}), Look(rows=64))
    assert_close(network.layers[0].weight, before)


def test_layers_that_cannot_be_fitted_are_named():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.free = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.free(self.shared(self.shared(x)))

    x = torch.rand(8, 4)
    network = mj.capture(Twice(), x)
    mj.quantize(network, layers={"free": None})
    mj.calibrate(network, x)
    record = mj.gptq(network, x)
    assert [(one.place, one.reason) for one in record.skipped] == [
        ("shared", "it is used more than once"),
        ("free", "its weights are not quantized"),
    ]
    assert record.layers == ()


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(GraphError, match=r"mj\.quantize"):
        mj.gptq(mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.zeros(2, 2)), torch.zeros(2, 2))


@pytest.mark.parametrize("method", [mj.gptq, partial(mj.adaround, iterations=300)], ids=["gptq", "adaround"])
def test_ranges_by_outputs_serve_a_layer_with_an_outlier_better(method):
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(6, 3))
    with torch.no_grad():
        module[0].weight[:, 0] = 4.0
    x = torch.randn(256, 6) * tensor([0.01, 1, 1, 1, 1, 1])
    network = mj.capture(module, x)
    mj.quantize(network, weights=3)
    mj.calibrate(network, x)
    errors = []
    for ranges in (False, True):
        found = network.copy()
        (layer,) = method(found, x, ranges=ranges).layers
        errors.append((layer.error_before, layer.error_after))
    assert errors[0][0] == errors[1][0]
    assert errors[1][1] < 0.5 * errors[0][1]
