"""Group normal-Jeffreys: the equations by hand, against integration, and against draws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import nn
from torch.testing import assert_close

from microjoule.compression.bayesian.normal_jeffreys import (
    NoisyWeight,
    NormalJeffreysGate,
    factor_divergence,
    log_alpha,
    marginal_variance,
    round_to_bits,
    significant_bits,
    weight_divergence,
)


def test_log_alpha_by_hand():
    assert_close(log_alpha(torch.tensor([2.0, -1.0]), torch.tensor([4.0, 1.0]).log()), torch.tensor([0.0, 0.0]))


@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.3, 1.0, 5.0, 100.0])
def test_the_divergence_of_a_factor_is_that_of_the_integral(alpha):
    """E log|1 + sqrt(alpha) e| - log(alpha) / 2, less its limit -(euler gamma + log 2) / 2 for pure noise."""

    def part(e):
        return math.log(abs(1 + math.sqrt(alpha) * e) + 1e-300) * math.exp(-(e**2) / 2) / math.sqrt(2 * math.pi)

    singular = -1 / math.sqrt(alpha)
    points = [singular] if abs(singular) < 10 else None
    exact = quad(part, -10, 10, points=points, limit=500)[0] - 0.5 * math.log(alpha)
    exact += (0.5772156649 + math.log(2)) / 2
    assert factor_divergence(torch.tensor(math.log(alpha))).item() == pytest.approx(exact, abs=0.012)


def test_the_divergence_of_a_factor_falls_to_nothing():
    values = factor_divergence(torch.linspace(-10, 20, 301))
    assert (values.diff() < 0).all()
    assert 0 < values[-1] < 1e-8


def test_the_divergence_of_weights_by_hand():
    """N(1, 2^2) against N(0, 2^2): mu^2 / (2 s^2) = 1/8; N(0, 1) against N(0, e): (1/e - 1 + 1) / 2."""
    assert weight_divergence(torch.tensor(1.0), torch.tensor(math.log(4)), 4.0).item() == pytest.approx(1 / 8)
    assert weight_divergence(torch.tensor(0.0), torch.tensor(0.0), math.e).item() == pytest.approx(0.5 / math.e)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 10))
def test_the_divergence_of_weights_is_that_of_torch(mean, log_variance, prior):
    ours = weight_divergence(torch.tensor(mean), torch.tensor(log_variance), prior)
    one = torch.distributions.Normal(mean, math.exp(log_variance / 2))
    theirs = torch.distributions.kl_divergence(one, torch.distributions.Normal(0.0, math.sqrt(prior)))
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_marginal_variance_is_that_of_draws():
    torch.manual_seed(0)
    z, w = 2 + 0.5 * torch.randn(2_000_000), 3 + 0.25 * torch.randn(2_000_000)
    numbers = (torch.tensor(value) for value in (2.0, 0.25, 3.0, 0.0625))
    expected = marginal_variance(*numbers)
    assert expected.item() == 4 * 0.0625 + 0.25 * 9 + 0.25 * 0.0625
    assert (z * w).var().item() == pytest.approx(expected.item(), rel=0.005)


@pytest.mark.parametrize(
    ("variance", "largest", "bits"),
    [(1.0, 1.0, 1), (0.25, 1.0, 1), (1 / 16, 1.0, 2), (0.06, 1.0, 3), (1e-4, 1.0, 7), (1e-4, 4.0, 9), (0.0, 1.0, 23)],
)
def test_bits_by_hand(variance, largest, bits):
    assert significant_bits(variance, largest) == bits


def test_nothing_needs_one_bit():
    assert significant_bits(1.0, 0.0) == 1


@given(st.integers(0, 2**31), st.integers(1, 12))
@settings(max_examples=30)
def test_rounding_moves_no_weight_further_than_its_round_off(seed, significant):
    weight = torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rounded = round_to_bits(weight, significant)
    top = math.frexp(rounded.abs().max().item())[1]
    exponents = torch.frexp(weight)[1].clamp(min=top - 7)
    assert ((rounded - weight).abs() <= 2.0 ** (exponents - significant - 1)).all()
    assert torch.equal(round_to_bits(rounded, significant), rounded)


def test_rounding_by_hand():
    """Two bits: 1, 1.5, 2, 3, 4, ...; below 2^-5 of the largest's power the spacing stays."""
    given_weights = torch.tensor([1.2, -1.3, 2.6, 3.4, 0.0, 1.0])
    assert torch.equal(round_to_bits(given_weights, 2), torch.tensor([1.0, -1.5, 3.0, 3.0, 0.0, 1.0]))
    small = torch.tensor([1.0, 2.0**-9, 1.4 * 2.0**-9])
    assert torch.equal(round_to_bits(small, 1), torch.tensor([1.0, 0.0, 2.0**-7]) * torch.tensor([1.0, 1.0, 0.0]))
    assert torch.equal(round_to_bits(torch.zeros(3), 2), torch.zeros(3))


def test_few_numbers_are_left():
    rounded = round_to_bits(torch.linspace(-1, 1, 10001), 2)
    assert len(rounded.unique()) <= 2 * 8 * 2 + 3


def test_a_gate_is_its_mean_once_trained_and_noise_of_its_variance_before():
    gate = NormalJeffreysGate(3)
    with torch.no_grad():
        gate.mean.copy_(torch.tensor([1.0, 2.0, 0.0]))
        gate.log_variance.copy_(torch.tensor([0.01, 1.0, 4.0]).log())
    torch.manual_seed(0)
    drawn = gate.train()(200_000).detach()
    assert_close(drawn.mean(0), gate.mean.detach(), atol=0.02, rtol=0)
    assert_close(drawn.var(0), gate.log_variance.detach().exp(), atol=0, rtol=0.02)
    assert torch.equal(gate.eval()(200_000), gate.mean[None])
    score = gate.score()
    assert (score[0] < 0, score[1] < 0, score[2] > 0) == (True, True, True)


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.Conv2d(3, 2, 2, stride=2, padding=1)], ids=["linear", "conv"])
def test_the_noise_of_an_output_is_that_of_noisy_weights(layer):
    torch.manual_seed(0)
    x = torch.randn(1, 3) if isinstance(layer, nn.Linear) else torch.randn(1, 3, 4, 4)
    noisy = NoisyWeight(layer.weight)
    with torch.no_grad():
        noisy.log_variance.copy_(torch.randn_like(noisy.log_variance))
        drawn = noisy.noise(layer, x.expand(50_000, *x.shape[1:]))
        weight, deviation = layer.weight.clone(), (0.5 * noisy.log_variance).exp()
        outputs = []
        for _ in range(4000):
            layer.weight.copy_(weight + deviation * torch.randn_like(weight))
            outputs.append(layer(x))
    assert_close(drawn.mean(0), torch.zeros_like(drawn[0]), atol=0.1, rtol=0)
    assert_close(drawn.var(0), torch.cat(outputs).var(0), atol=0, rtol=0.12)
