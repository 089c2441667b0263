"""The information bottleneck: the divergence is that of the best prior; what is drawn, what goes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from microjoule.compression.bayesian.information_bottleneck import (
    BottleneckGate,
    bottleneck_divergence,
    noise_ratio,
)


def test_the_divergence_by_hand():
    mean, log_variance = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.0, 3.0, math.log(4.0)])
    expected = torch.tensor([math.log(2) / 2, 0.0, math.log(2) / 2])
    assert_close(bottleneck_divergence(mean, log_variance), expected)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_the_divergence_is_the_least_over_all_priors_of_mean_0(mean, log_variance):
    one = torch.distributions.Normal(mean, math.exp(log_variance / 2))
    best = mean**2 + math.exp(log_variance)
    over = [
        torch.distributions.kl_divergence(one, torch.distributions.Normal(0.0, math.sqrt(best * f)))
        for f in (0.8, 1.0, 1.25)
    ]
    assert over[1] <= min(over[0], over[2])
    ours = bottleneck_divergence(torch.tensor(mean), torch.tensor(log_variance))
    assert_close(ours, over[1], atol=1e-5, rtol=1e-5)


def test_a_unit_goes_when_its_noise_is_over_its_mean():
    ratio = noise_ratio(torch.tensor([2.0, 2.0]), torch.tensor([3.9, 4.1]).log())
    assert (ratio < 0).tolist() == [True, False]


def test_a_gate_is_its_mean_once_trained_and_noise_of_its_variance_before():
    gate = BottleneckGate(2)
    with torch.no_grad():
        gate.mean.copy_(torch.tensor([1.0, 0.5]))
        gate.log_variance.copy_(torch.tensor([0.04, 1.0]).log())
    torch.manual_seed(0)
    drawn = gate.train()(200_000).detach()
    assert_close(drawn.mean(0), gate.mean.detach(), atol=0.01, rtol=0)
    assert_close(drawn.var(0), torch.tensor([0.04, 1.0]), atol=0, rtol=0.02)
    assert torch.equal(gate.eval()(7), gate.mean[None])
    assert gate.score().tolist() == pytest.approx([math.log(0.04), math.log(4)], rel=1e-5)
    assert_close(gate.divergence(), bottleneck_divergence(gate.mean, gate.log_variance))
