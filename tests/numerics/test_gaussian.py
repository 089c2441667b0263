import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch.testing import assert_close

from microjoule.errors import DataError, SettingError
from microjoule.numerics.gaussian import Gaussian, mean_of_clipped, var_of_clipped

F64 = torch.float64
PHI_0 = 1 / math.sqrt(2 * math.pi)


def gaussian(mean: float, std: float) -> Gaussian:
    return Gaussian(torch.tensor([mean], dtype=F64), torch.tensor([std], dtype=F64))


def moments(mean: float, std: float, low: float, high: float) -> tuple[float, float]:
    normal = gaussian(mean, std)
    return float(normal.mean_of_clipped(low, high)), float(normal.var_of_clipped(low, high))


def integrated(mean: float, std: float, low: float, high: float) -> tuple[float, float]:
    """The moments by numerical integration of the tails and the middle, about the clipped mean."""
    a, b = (low - mean) / std, (high - mean) / std
    centre = min(max(mean, low), high)
    ends = max(a, -40.0), min(b, 40.0)

    def moment(power: int) -> float:
        below = (low - centre) ** power * stats.norm.cdf(a) if a > -math.inf else 0.0
        above = (high - centre) ** power * stats.norm.sf(b) if b < math.inf else 0.0
        if ends[0] >= ends[1]:
            return below + above
        inner = [point for point in (-6.0, -3.0, 0.0, 3.0, 6.0) if ends[0] < point < ends[1]]
        cuts = [ends[0], *inner, ends[1]]
        parts = (
            integrate.quad(lambda z: (mean + std * z - centre) ** power * stats.norm.pdf(z), left, right)[0]
            for left, right in pairwise(cuts)
        )
        return below + above + sum(parts)

    first = moment(1)
    return centre + first, moment(2) - first**2


# By hand -----------------------------------------------------------------------------------------


def test_relu_of_a_standard_normal_by_hand():
    mean, var = moments(0.0, 1.0, 0.0, math.inf)
    assert mean == pytest.approx(PHI_0)
    assert var == pytest.approx(0.5 - PHI_0**2)


def test_bounds_that_are_infinite_clip_nothing():
    assert moments(-1.5, 2.0, -math.inf, math.inf) == pytest.approx((-1.5, 4.0))


def test_the_equation_of_the_paper():
    """E = std (phi(A) - phi(B)) + mean (Phi(B) - Phi(A)) + low Phi(A) + high (1 - Phi(B))."""
    mean, std, low, high = 1.0, 3.0, 0.0, 6.0
    a, b = (low - mean) / std, (high - mean) / std
    phi, cdf = stats.norm.pdf, stats.norm.cdf
    by_paper = std * (phi(a) - phi(b)) + mean * (cdf(b) - cdf(a)) + low * cdf(a) + high * (1 - cdf(b))
    assert moments(mean, std, low, high)[0] == pytest.approx(by_paper, rel=1e-12)


def test_each_channel_has_its_own_bounds():
    normal = Gaussian(torch.zeros(3), torch.ones(3))
    low, high = torch.tensor([0.0, -math.inf, 2.0]), torch.tensor([math.inf, 0.0, 2.0])
    assert_close(normal.mean_of_clipped(low, high), torch.tensor([PHI_0, -PHI_0, 2.0]))
    assert_close(normal.var_of_clipped(low, high), torch.tensor([0.5 - PHI_0**2, 0.5 - PHI_0**2, 0.0]))


# By law ------------------------------------------------------------------------------------------


@given(
    mean=st.floats(-8, 8),
    std=st.floats(0.1, 5),
    low=st.floats(-10, 10) | st.just(-math.inf),
    width=st.floats(0.01, 20) | st.just(math.inf),
)
def test_both_moments_agree_with_numerical_integration(mean, std, low, width):
    high = low + width if math.isfinite(low) else width
    expected = integrated(mean, std, low, high)
    assert moments(mean, std, low, high) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(mean=st.floats(-3, 3), low=st.floats(-3, 3), width=st.floats(0.1, 4))
def test_the_part_that_is_not_clipped_is_the_truncated_normal(mean, low, width):
    """E[clip] = low P(x < low) + E[x | inside] P(inside) + high P(x > high)."""
    a, b = low - mean, low + width - mean
    inside = stats.norm.cdf(b) - stats.norm.cdf(a)
    truncated = stats.truncnorm.mean(a, b, loc=mean)
    expected = low * stats.norm.cdf(a) + truncated * inside + (low + width) * stats.norm.sf(b)
    assert moments(mean, 1.0, low, low + width)[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(mean=st.floats(-50, 50), std=st.floats(0, 20), low=st.floats(-50, 50), width=st.floats(0, 50))
def test_the_mean_is_within_the_bounds_and_the_mirror_image_is_mirrored(mean, std, low, width):
    high = low + width
    expected, var = moments(mean, std, low, high)
    assert low - 1e-12 <= expected <= high + 1e-12
    assert 0 <= var <= min(std**2, width**2 / 4) * (1 + 1e-9) + 1e-12
    assert moments(-mean, std, -high, -low) == pytest.approx((-expected, var), abs=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, math.inf), (0.0, 6.0), (-1.0, 0.5), (-math.inf, 1.0)])
def test_the_moments_are_those_of_a_million_draws(low, high):
    mean, std = torch.tensor([-1.0, 0.5, 4.0], dtype=F64), torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    draws = torch.randn(1_000_000, 3, dtype=F64, generator=torch.Generator().manual_seed(1)) * std + mean
    clipped = draws.clamp(low, high)
    assert_close(mean_of_clipped(mean, std, low=low, high=high), clipped.mean(0), atol=0.01, rtol=0)
    assert_close(var_of_clipped(mean, std, low=low, high=high), clipped.var(0), atol=0.02, rtol=0.01)


# Degenerate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.0, 1e-310, 1e-30])
@pytest.mark.parametrize(("mean", "expected"), [(-2.0, 0.0), (0.0, 0.0), (3.0, 3.0), (6.0, 6.0), (7.0, 6.0)])
def test_without_spread_the_mean_is_clipped(std, mean, expected):
    assert moments(mean, std, 0.0, 6.0) == pytest.approx((expected, 0.0), abs=1e-29)


@pytest.mark.parametrize("sigmas", [5.0, 10.0, 20.0, 30.0, 37.0])
def test_far_tails_keep_their_digits(sigmas):
    """Laplace's continued asymptotic series: L(t) ~ phi(t) / t^2 (1 - 3 / t^2 + 15 / t^4 - 105 / t^6 + 945 / t^8)."""
    mean, var = moments(-sigmas, 1.0, 0.0, math.inf)
    t = sigmas
    assert mean == pytest.approx(integrate.quad(lambda u: u * stats.norm.pdf(t + u), 0, 8 / t * 5)[0], rel=1e-7)
    assert var == pytest.approx(integrate.quad(lambda u: u * u * stats.norm.pdf(t + u), 0, 8 / t * 5)[0], rel=1e-5)


@pytest.mark.parametrize("mean", [-1e6, 1e6])
def test_beyond_the_tails_nothing_is_nan(mean):
    assert moments(mean, 1.0, -1.0, 1.0) == (math.copysign(1.0, mean), 0.0)


def test_a_narrow_interval_keeps_its_digits():
    """Between -d and d a standard normal is at either end almost always: the variance is d^2 to first order."""
    mean, var = moments(0.0, 1.0, -1e-6, 1e-6)
    assert mean == 0.0
    assert var == pytest.approx(1e-12, rel=1e-5)


def test_no_variance_is_negative_however_narrow_the_interval():
    low = torch.linspace(-8, 8, 201, dtype=F64)
    for width in torch.logspace(-12, 0, 25, dtype=F64):
        assert (
            var_of_clipped(torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64), low=low, high=low + width) >= 0
        ).all()


def test_float32_is_computed_in_float64_and_given_back_as_float32():
    normal = Gaussian(torch.tensor([-9.0]), torch.tensor([1.0]))
    assert normal.mean_of_clipped(0.0, math.inf).dtype == torch.float32
    assert float(normal.mean_of_clipped(0.0, math.inf)) == pytest.approx(moments(-9.0, 1.0, 0.0, math.inf)[0], rel=1e-6)


# Refusal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0), (0.0, torch.tensor([1.0, -1.0]))])
def test_a_low_above_its_high_is_refused(low, high):
    normal = Gaussian(torch.zeros(2), torch.ones(2))
    for method in (normal.mean_of_clipped, normal.var_of_clipped):
        with pytest.raises(SettingError, match="low above its high"):
            method(low, high)


@pytest.mark.parametrize(("mean", "std"), [(math.nan, 1.0), (0.0, math.inf), (0.0, -1.0)])
def test_nonsense_is_refused(mean, std):
    with pytest.raises(DataError, match="NaN, infinity or a negative std"):
        gaussian(mean, std)


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match=r"mean has shape \(2,\) and std \(3,\)"):
        Gaussian(torch.zeros(2), torch.ones(3))
