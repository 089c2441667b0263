import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from microjoule.errors import SettingError
from microjoule.numerics import ranges
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.error import kl_divergence
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.numerics.ranges import (
    clipped_divergence,
    kl,
    least_divergent_share,
    magnitudes,
    min_max,
    mse,
    percentile,
    squared_error,
)
from microjoule.numerics.statistics import Histogram

ROWS = Scheme(IntGrid(8), axis=0)
RULES = {"min_max": min_max, "percentile": percentile(99), "mse": mse, "kl": kl}
seeds = st.integers(0, 2**31)
schemes = st.builds(
    Scheme,
    st.builds(IntGrid, st.integers(1, 10), signed=st.booleans()),
    symmetric=st.booleans(),
    axis=st.just(0),
    power_of_two=st.booleans(),
)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(x: Tensor) -> Distribution:
    return Distribution.of(x, ROWS)


def histogram(x: Tensor) -> Distribution:
    statistic = Histogram()
    statistic.update(x)
    return statistic.distribution()


# All rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=30)
@given(seed=seeds, shift=st.sampled_from([-9.0, 0.0, 0.5, 9.0]), scheme=schemes)
def test_a_range_is_inside_the_values_and_zero(rule, seed, shift, scheme):
    distribution = rows(random(seed, 3, 50) + shift)
    low, high = rule(distribution, scheme)
    assert low.shape == high.shape == (3,)
    assert (low <= high).all()
    assert (low >= distribution.low.clamp(max=0)).all()
    assert (high <= distribution.high.clamp(min=0)).all()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=20)
@given(seed=seeds, power=st.integers(-20, 20))
def test_a_range_scales_with_its_values(rule, seed, power):
    x, factor = random(seed, 2, 200), 2.0**power
    low, high = rule(rows(x), ROWS)
    scaled_low, scaled_high = rule(rows(x * factor), ROWS)
    assert_close(scaled_low, low * factor)
    assert_close(scaled_high, high * factor)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("grid", [IntGrid(1), IntGrid(2), IntGrid(8), IntGrid(16)], ids=str)
def test_each_row_has_the_range_that_it_has_alone(rule, grid):
    scheme = Scheme(grid, axis=0)
    x = torch.cat([random(0, 2, 300), random(1, 2, 300).abs(), -random(2, 1, 300).abs(), torch.zeros(1, 300)])
    low, high = rule(rows(x), scheme)
    alone = [rule(rows(row[None]), scheme) for row in x]
    assert_close(low, torch.cat([pair[0] for pair in alone]))
    assert_close(high, torch.cat([pair[1] for pair in alone]))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_single_value_is_its_own_range(rule, value):
    low, high = rule(rows(torch.full((1, 1), value)), ROWS)
    assert max(abs(low.item()), abs(high.item())) == abs(value)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_histogram_gives_about_the_range_of_its_values(rule):
    x = random(0, 1, 20_000)
    scheme = Scheme(IntGrid(4))
    low, high = rule(histogram(x), scheme)
    expected_low, expected_high = rule(rows(x), scheme)
    assert low.item() == pytest.approx(expected_low.item(), abs=0.15)
    assert high.item() == pytest.approx(expected_high.item(), abs=0.15)


# Percentile --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "low", "high"),
    [(100, 1.0, 1000.0), (99.8, 2.0, 999.0), (99.4, 4.0, 997.0), (98, 11.0, 990.0), (50, 251.0, 750.0)],
)
def test_percentiles_by_hand(percent, low, high):
    x = torch.arange(1.0, 1001.0)[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert [end.item() for end in percentile(percent)(rows(x[None]), ROWS)] == [low, high]


def test_counts_weigh_in_percentiles():
    distribution = Distribution(torch.tensor([[5.0, -1.0, 0.0, 9.0]]), torch.tensor([[90.0, 4.0, 5.0, 1.0]]))
    low, high = percentile(91)(distribution, ROWS)
    assert (low.item(), high.item()) == (0.0, 5.0)


def test_the_percentiles_of_a_histogram_are_inside_its_exact_ends():
    low, high = percentile(99.9999)(histogram(torch.tensor([0.901, 1.0, 7.99])), ROWS)
    assert (low.item(), high.item()) == pytest.approx((0.901, 7.99), abs=1e-2)
    assert 0.901 - 1e-7 <= low.item() < high.item() <= 7.99 + 1e-6


@pytest.mark.parametrize("percent", [0, -1, 100.1, math.nan])
def test_a_percentage_outside_0_to_100_is_refused(percent):
    with pytest.raises(SettingError, match="more than 0 and at most 100"):
        percentile(percent)


# Least squares -----------------------------------------------------------------------------------


def brute_force(x: Tensor, scheme: Scheme) -> Tensor:
    """The least error over 40 x 40 shrink factors (40 if symmetric), (channels,)."""
    factors = torch.linspace(1 / 40, 1, 40)
    low, high = torch.meshgrid(factors, factors, indexing="ij")
    if scheme.symmetric:
        low = high = factors
    errors = []
    for row in x:
        copies = Distribution.of(row.expand(low.numel(), -1), scheme)
        ends = row.min().clamp(max=0) * low.flatten(), row.max().clamp(min=0) * high.flatten()
        errors.append(squared_error(copies, *ends, scheme).min())
    return torch.stack(errors)


def test_squared_error_by_hand():
    distribution = Distribution(torch.tensor([[0.0, 0.25, 9.0]]), torch.tensor([[7.0, 2.0, 3.0]]))
    error = squared_error(distribution, torch.zeros(1), torch.full((1,), 3.0), Scheme(IntGrid(2, signed=False)))
    assert error.tolist() == [2 * 0.25**2 + 3 * 6.0**2]


@settings(max_examples=40)
@given(seed=seeds, scheme=schemes, shift=st.sampled_from([-3.0, 0.0, 3.0]), outlier=st.sampled_from([1.0, 100.0]))
def test_least_squares_is_never_worse_than_the_whole_range(seed, scheme, shift, outlier):
    x = random(seed, 3, 64) + shift
    x[:, 0] *= outlier
    distribution = rows(x)
    least = squared_error(distribution, *mse(distribution, scheme), scheme)
    assert (least <= squared_error(distribution, *min_max(distribution, scheme), scheme)).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("heavy", [False, True])
def test_least_squares_is_about_as_good_as_brute_force(bits, symmetric, heavy):
    x = random(bits, 2, 1000)
    scheme = Scheme(IntGrid(bits), symmetric=symmetric, axis=0)
    distribution = rows(x**3 if heavy else x)
    least = squared_error(distribution, *mse(distribution, scheme), scheme)
    assert (least <= 1.06 * brute_force(distribution.values, scheme)).all()


def test_least_squares_finds_the_best_three_levels_of_a_normal():
    """-s, 0 and s with s = E[z | z > s / 2] = 1.2240 (Max 1960, Quantizing for Minimum Distortion, table I)."""
    scheme = Scheme(IntGrid(2, narrow=True), symmetric=True, axis=0)
    low, high = mse(rows(random(0, 1, 100_000)), scheme)
    assert (low.item(), high.item()) == pytest.approx((-1.2240, 1.2240), abs=0.04)


def test_counts_weigh_in_least_squares():
    values = torch.tensor([[0.0, 1.0, 10.0]])
    scheme = Scheme(IntGrid(1, signed=False), axis=0)
    often_one = Distribution(values, torch.tensor([[1.0, 1000.0, 1.0]]))
    often_ten = Distribution(values, torch.tensor([[1.0, 1.0, 1000.0]]))
    assert mse(often_one, scheme)[1].item() == pytest.approx(1.0, abs=0.1)
    assert mse(often_ten, scheme)[1].item() == pytest.approx(10.0, abs=0.1)


def test_chunks_of_rows_change_nothing(monkeypatch):
    x = random(0, 7, 50)
    whole = mse(rows(x), ROWS), kl(rows(x), ROWS)
    monkeypatch.setattr(ranges, "CHUNK", 100)
    parts = mse(rows(x), ROWS), kl(rows(x), ROWS)
    assert_close(parts, whole, rtol=0, atol=0)


# Histogram KL ------------------------------------------------------------------------------------


def divergence_by_definition(histogram: list[float], kept: int, levels: int) -> float:
    """As Migacz writes it, bin by bin."""
    clipped = histogram[:kept]
    clipped[-1] += sum(histogram[kept:])
    quantized = [0.0] * kept
    for level in range(levels):
        members = [j for j in range(kept) if j * levels // kept == level]
        filled = [j for j in members if clipped[j] > 0]
        for j in filled:
            quantized[j] = sum(histogram[m] for m in members) / len(filled)
    return float(
        kl_divergence(torch.tensor(clipped, dtype=torch.float64), torch.tensor(quantized, dtype=torch.float64))
    )


@given(counts=st.lists(st.integers(0, 5), min_size=4, max_size=24), levels=st.integers(1, 4), data=st.data())
def test_the_divergence_by_running_sums_is_that_of_the_definition(counts, levels, data):
    counts[data.draw(st.integers(0, len(counts) - 1))] = 3
    kept = list(range(levels, len(counts) + 1))
    fast = clipped_divergence(torch.tensor([counts]).double(), torch.tensor(kept), levels)[0]
    slow = [divergence_by_definition([float(c) for c in counts], k, levels) for k in kept]
    assert fast.tolist() == pytest.approx(slow, abs=1e-9)


def test_few_outliers_are_clipped_and_a_flat_histogram_is_not():
    flat = torch.full((64,), 100.0)
    steep = torch.cat([100 * torch.exp(-torch.arange(32) / 8.0), torch.zeros(31), torch.ones(1) * 1e-3])
    share = least_divergent_share(torch.stack([flat, steep]).double(), 8)
    assert share[0] == 1
    assert share[1] <= 0.75


def test_magnitudes_of_values_by_hand():
    distribution = Distribution(torch.tensor([[-4.0, 1.0, 1.5, 3.0, 0.0]]), torch.tensor([[1.0, 2.0, 3.0, 4.0, 90.0]]))
    assert magnitudes(distribution, 4).tolist() == [[5.0, 5.0, 0.0, 5.0]]  # the peak at 0 is as high as its neighbour


def test_magnitudes_of_a_histogram_cut_its_bins():
    bounds = torch.tensor([-2.0]), torch.tensor([4.0])
    values, counts = torch.tensor([[-1.0, 1.0, 3.0]]), torch.tensor([[6.0, 8.0, 20.0]])
    bins = magnitudes(Distribution(values, counts, bounds, torch.tensor([2.0])), 8)
    assert bins.tolist() == [[5.0] * 8]  # 0 to 2 may hold zeros, so all its bins are as high as the next
    assert magnitudes(Distribution(values, counts, bounds, torch.tensor([0.5])), 8).shape == (1, 8)


def test_the_zeros_of_a_relu_do_not_matter():
    x = random(0, 1, 60_000)
    with_zeros = histogram(torch.cat([x.relu(), torch.zeros(1, 60_000)], 1))
    _, high = kl(with_zeros, Scheme(IntGrid(8, signed=False)))
    assert high.item() > 3.0


def test_heavy_tails_are_clipped_by_kl():
    x = random(0, 1, 60_000) ** 5
    low, high = kl(rows(x), Scheme(IntGrid(8, narrow=True), symmetric=True, axis=0))
    assert high.item() < 0.8 * x.abs().max().item()
    assert -low.item() == high.item()


@pytest.mark.parametrize(("symmetric", "one_sided", "levels"), [(False, True, 16), (False, False, 8), (True, True, 8)])
def test_the_levels_of_kl_are_those_on_one_side_of_zero(symmetric, one_sided, levels):
    x = random(0, 1, 20_000) ** 3
    distribution = rows(x.abs() if one_sided else x)
    _, high = kl(distribution, Scheme(IntGrid(4), symmetric=symmetric, axis=0))
    share = least_divergent_share(magnitudes(distribution, ranges.KL_BINS), levels)
    assert 0.1 < share.item() < 1
    assert high.item() == pytest.approx(share.item() * x.abs().max().item())


def test_a_grid_as_fine_as_the_histogram_covers_every_value():
    x = random(0, 1, 500) ** 5
    low, high = kl(rows(x), Scheme(IntGrid(16), axis=0))
    assert (low.item(), high.item()) == (x.min().item(), x.max().item())
