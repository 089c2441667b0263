"""Losses of fitted layers alone: by hand, as the network itself gives them, and nothing left behind."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.execution.batches import batches, first
from microjoule.execution.fitted import Fitted
from microjoule.graph.edit import bias_of
from microjoule.numerics.divergence import class_divergence
from microjoule.numerics.ranges import min_max
from microjoule.quantization.alone import at_width, sites
from microjoule.quantization.fisher import estimates
from microjoule.quantization.fitted_losses import fitted_losses
from microjoule.quantization.ptq.gptq import solve
from microjoule.quantization.sensitivity import effect, reference
from tests.quantization.networks import outputs

X = torch.randn(48, 6, generator=torch.Generator().manual_seed(2))


def quantized(module):
    torch.manual_seed(0)
    made = mj.capture(module.eval(), X[:2])
    mj.quantize(made)
    mj.calibrate(made, X)
    return made


def grids(network, *bits):
    return {f"{site.name} {width}": (site, at_width(site, width, min_max)) for site in sites(network) for width in bits}


def on_first(network, samples):
    return reference(network, list(first(batches(X), samples)), None)


def nearest(problem):
    return problem.solved(problem.rounded(), bias_of(problem.rows.layer))


@pytest.fixture
def network():
    return quantized(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))


def test_one_weight_by_hand():
    """1.5 x + 0.5 becomes x - 1 for x = 1, 3: the outputs are off by 2 and 3, so half the squares are 2 and 4.5."""
    x = torch.tensor([[1.0], [3.0]])
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 1.5)
    nn.init.constant_(layer.bias, 0.5)
    made = mj.capture(nn.Sequential(layer), x)
    mj.quantize(made, target="per-tensor")
    mj.calibrate(made, x)
    (site,) = sites(made, ("weight",))
    one = site.quantizer.affine
    one = type(one)(one.scheme, torch.ones_like(one.scale), torch.zeros_like(one.zero_point))

    def fit(problem):
        return Fitted(torch.ones(1, 1, dtype=torch.int32), torch.tensor([-1.0]), 0.0, 0.0)

    found = fitted_losses(made, {"weight": (site, one)}, reference(made, list(batches(x)), None), data=x, fit=fit)
    assert found == {"weight": pytest.approx((2 + 4.5) / 2)}


def test_rounded_to_nearest_it_is_the_effect_of_a_sweep(network):
    given, exact = grids(network, 3, 5), on_first(network, 20)
    found = fitted_losses(network, given, exact, data=X, fit=nearest)
    for name, grid in given.items():
        assert found[name] == pytest.approx(effect(network, *grid, exact).kl, rel=1e-3, abs=1e-9)


def test_a_fitted_weight_is_that_of_gptq():
    made = quantized(nn.Sequential(nn.Linear(6, 4)))
    (site,) = sites(made, ("weight",))
    exact = on_first(made, 48)
    found = fitted_losses(made, {"0": (site, site.quantizer.affine)}, exact, data=X, fit=solve)
    for quantizer in made.quantizers.values():
        quantizer.enabled = False
    mj.gptq(made, X)
    assert found["0"] == pytest.approx(
        class_divergence(torch.cat([one for (one,) in exact.outputs]), outputs(made, X)).mean().item(), rel=1e-3
    )


def test_fitting_leaves_less_than_nearest_and_more_bits_leave_less(network):
    given = {name: grid for name, grid in grids(network, 3, 4, 8).items() if grid[0].kind == "weight"}
    exact = on_first(network, 16)
    fitted = fitted_losses(network, given, exact, data=X, fit=solve)
    plain = fitted_losses(network, given, exact, data=X, fit=nearest)
    for path in ("0", "2"):
        assert fitted[f"{path} 3"] > fitted[f"{path} 4"] > fitted[f"{path} 8"] > 0
        assert fitted[f"{path} 3"] < plain[f"{path} 3"]


def test_other_samples_are_fitted_to_than_those_that_are_measured(network):
    seen = []

    def fit(problem):
        seen.append(problem.known.input_mean)
        return nearest(problem)

    given = {name: grid for name, grid in grids(network, 4).items() if name == "0 4"}
    fitted_losses(network, given, on_first(network, 16), data=X, fit=fit)
    fitted_losses(network, given, on_first(network, 32), data=X, fit=fit)
    assert_close(seen[0].squeeze(0), X[16:].double().mean(0), check_dtype=False)
    assert_close(seen[1].squeeze(0), X.double().mean(0), check_dtype=False)


def test_the_network_is_as_it_was(network):
    before = outputs(network, X)
    kept = {site.name: (site.quantizer.affine, site.quantizer.enabled) for site in sites(network)}
    fitted_losses(network, grids(network, 3, 8), on_first(network, 16), data=X, fit=solve)
    assert torch.equal(outputs(network, X), before)
    assert {site.name: (site.quantizer.affine, site.quantizer.enabled) for site in sites(network)} == kept
    assert all(layer.quantizer.integers is None for layer in network.layers)


def test_a_layer_that_is_called_twice_is_rounded_to_nearest():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(torch.relu(self.layer(x)))

    made = quantized(Twice())
    given = {name: grid for name, grid in grids(made, 4).items() if grid[0].kind == "weight"}
    exact = on_first(made, 16)
    found = fitted_losses(made, given, exact, data=X, fit=None)
    for name, grid in given.items():
        assert found[name] == pytest.approx(effect(made, *grid, exact).kl, rel=1e-3)


def test_small_losses_are_near_to_the_estimate(network):
    given, exact = grids(network, 8), on_first(network, 48)
    found, estimated = fitted_losses(network, given, exact, data=X, fit=nearest), estimates(network, given, exact)
    assert all(0.3 < found[name] / estimated[name] < 3 for name in given)
