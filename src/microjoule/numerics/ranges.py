"""Range rules: which range of a distribution a grid is laid over.

A wide range clips nothing and has a large step; a narrow one clips, and rounds finely. The rules weigh the
two differently.

Source: Nagel et al. 2021, A White Paper on Neural Network Quantization, https://arxiv.org/abs/2106.08295, section 3.1;
`kl`: Migacz 2017, 8-bit Inference with TensorRT, GPU Technology Conference, session S7310, slides 27 to 39.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from microjoule.errors import SettingError
from microjoule.numerics.affine import affine_from_range, fake_quantize
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.grid import Scheme

RangeRule = Callable[[Distribution, Scheme], tuple[Tensor, Tensor]]
"""A distribution of (channels, n) and the scheme to come -> (low, high), each (channels,)."""

CHUNK = 2**19
"""Values looked at together: 2 MiB of float32, so that a pass stays near the cache."""

COARSE, FINE = 1 / 16, 1 / 64
"""Spacings of the shrink factors that `mse` tries; 3 fine ones on either side fill the gap of a coarse one."""

KL_BINS, KL_STRIDE = 2048, 8
"""Bins of Migacz's histogram; he tries every bin as the threshold, every eighth costs 0.4 % of the range at most."""


def min_max(distribution: Distribution, _scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Cover every value."""
    return distribution.low, distribution.high


def percentile(percent: float) -> RangeRule:
    """Cover the middle `percent` of the values, and clip the same share at both ends.

    In a histogram the ends are centres of bins.

    Raises:
        SettingError: unless 0 < percent <= 100.
    """
    if not 0 < percent <= 100:
        raise SettingError("percent", f"got {percent}", remedy="choose more than 0 and at most 100, such as 99.99")
    share = (100 - percent) / 200

    def rule(distribution: Distribution, _scheme: Scheme) -> tuple[Tensor, Tensor]:
        low, high = distribution.low, distribution.high
        if share == 0:
            return low, high
        values, order = distribution.values.sort(dim=1)
        counts = distribution.counts.double().gather(1, order)
        first, last = _past_share(values, counts, share), _past_share(values.flip(1), counts.flip(1), share)
        return torch.clamp(first, low, high), torch.clamp(last, low, high)

    rule.__name__ = rule.__qualname__ = f"percentile({percent})"
    return rule


def _past_share(values: Tensor, counts: Tensor, share: float) -> Tensor:
    """The first value that is not within the first share of the counts."""
    total = counts.cumsum(1)
    clipped = total[:, -1:] * share * (1 + 1e-9)  # 100 - 99.9 is a little less than 0.1 in floating point
    at = torch.searchsorted(total, clipped)
    return values.gather(1, at).squeeze(1)


# Least squares -----------------------------------------------------------------------------------


def mse(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Minimise the sum of counts * (x - fake_quantize(x))^2 over shrunk ranges.

    A symmetric scheme has one clip to search; else the two ends are searched in turn. The whole range is
    the first candidate, so the error is never above that of `min_max`. The values of a histogram are the
    centres of its bins.
    """
    by_row = replace(scheme, axis=0, block=None)
    channels, n = distribution.values.shape
    size = max(1, CHUNK // n)
    parts = [_least_squares(distribution.take(slice(at, at + size)), by_row) for at in range(0, channels, size)]
    return torch.cat([low for low, _ in parts]), torch.cat([high for _, high in parts])


def squared_error(distribution: Distribution, low: Tensor, high: Tensor, scheme: Scheme) -> Tensor:
    """The sum of counts * (x - fake_quantize(x))^2 of each row, (channels,).

    Args:
        distribution: rows of (channels, n).
        low: (channels,).
        high: (channels,).
        scheme: the grid; its axis is taken to be the rows.
    """
    affine = affine_from_range(low, high, replace(scheme, axis=0, block=None))
    error = fake_quantize(distribution.values, affine).sub_(distribution.values)
    return error.square_().mul_(distribution.counts).sum(1)


def _least_squares(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
    low, high = distribution.low.clamp(max=0), distribution.high.clamp(min=0)
    factors = torch.ones(2, len(low), dtype=low.dtype, device=low.device)
    least = squared_error(distribution, low, high, scheme)
    one_clip = scheme.symmetric or not bool(((low < 0) & (high > 0)).any())
    for ends, shrinks, relative in _search_plan(one_clip=one_clip):
        centre = factors
        for shrink in shrinks:
            trial = centre.clone()
            trial[ends] = (trial[ends] + shrink).clamp(FINE, 1) if relative else shrink
            error = squared_error(distribution, *_shrunk(low, high, trial, scheme), scheme)
            better = error < least
            least, factors = torch.where(better, error, least), torch.where(better, trial, factors)
    return _shrunk(low, high, factors, scheme)


def _search_plan(*, one_clip: bool) -> Iterator[tuple[slice, list[float], bool]]:
    """Which ends to move, by which shrink factors, and whether those are relative to the best so far."""
    both, low, high = slice(0, 2), slice(0, 1), slice(1, 2)
    for ends in (both,) if one_clip else (both, high, low):
        yield ends, [1 - COARSE * k for k in range(1, 16)], False
    for ends in (both,) if one_clip else (high, low):
        yield ends, [FINE * k for k in (-3, -2, -1, 1, 2, 3)], True


def _shrunk(low: Tensor, high: Tensor, factors: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    if not scheme.symmetric:
        return low * factors[0], high * factors[1]
    clip = factors[0] * torch.maximum(-low, high)
    return torch.maximum(low, -clip), torch.minimum(high, clip)


# Histogram KL ------------------------------------------------------------------------------------


def kl(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Clip |x| where the clipped histogram and its quantized form diverge least.

    For each threshold, P is the histogram up to it with everything above added to its last bin, and Q is
    the same bins without that, merged into as many levels as the grid has on one side of 0 and spread
    evenly again over the bins that are not empty. The threshold with the least KL(P || Q) is taken.
    Values on both sides of 0 get the same threshold on both. A grid with as many levels as the histogram
    has bins covers every value.
    """
    low, high = distribution.low, distribution.high
    threshold = torch.maximum(low.abs(), high.abs())
    half = (scheme.grid.steps + 1) // 2
    one_sided = (low >= 0) | (high <= 0)
    for rows, levels in ((one_sided, half if scheme.symmetric else scheme.grid.steps + 1), (~one_sided, half)):
        if levels < KL_BINS and bool(rows.any()):
            histogram = magnitudes(distribution.take(rows), KL_BINS)
            threshold[rows] *= least_divergent_share(histogram, levels).to(threshold.dtype)
    return torch.clamp(low, -threshold, threshold), torch.clamp(high, -threshold, threshold)


def magnitudes(distribution: Distribution, bins: int) -> Tensor:
    """The histogram of |x| from 0 to the largest, (channels, bins), without the peak at 0.

    Bins that have a width are cut where they must be. The bins that may hold exact zeros, half of all
    values after a ReLU, get the count of the next one: 0 is on every grid and no threshold matters to it.
    """
    largest = torch.maximum(distribution.low.abs(), distribution.high.abs()).double()
    step = torch.where(largest > 0, largest, 1.0)[:, None] / bins
    counts = distribution.counts.double()
    bin_index = torch.arange(bins + 1, dtype=counts.dtype, device=counts.device)
    if distribution.width is None:
        at = (distribution.values.abs() / step).long().clamp(max=bins - 1)
        histogram = torch.zeros(len(counts), bins, dtype=counts.dtype, device=counts.device).scatter_add_(1, at, counts)
        peak = torch.ones_like(step)
    else:
        edges = step * bin_index
        histogram = (_count_below(distribution, edges) - _count_below(distribution, -edges)).diff(dim=1)
        peak = torch.ceil(distribution.width.double()[:, None] / step).clamp(1, bins - 1)
    return torch.where(bin_index[:-1] < peak, histogram.gather(1, peak.long()), histogram).clamp(min=0)


def _count_below(distribution: Distribution, points: Tensor) -> Tensor:
    """How much of a histogram lies below each point, (channels, points), its bins taken as evenly filled."""
    assert distribution.width is not None
    counts, width = distribution.counts.double(), distribution.width.double()[:, None]
    start = distribution.values[:, :1].double() - width / 2
    position = ((points - start) / width).clamp(0, counts.shape[1])
    whole = position.long().clamp(max=counts.shape[1] - 1)
    return (counts.cumsum(1) - counts).gather(1, whole) + (position - whole) * counts.gather(1, whole)


def least_divergent_share(histogram: Tensor, levels: int) -> Tensor:
    """The share of the bins to keep, (channels,), more than 0 and at most 1.

    Args:
        histogram: (channels, bins), counts of |x|.
        levels: how many levels the kept bins are merged into, at most `bins`.
    """
    bins = histogram.shape[1]
    kept = torch.arange(bins, levels - 1, -KL_STRIDE, device=histogram.device)
    size = max(1, CHUNK // (len(kept) * levels))
    best = [clipped_divergence(rows, kept, levels).argmin(1) for rows in histogram.split(size)]
    return kept[torch.cat(best)].double() / bins


def clipped_divergence(histogram: Tensor, kept: Tensor, levels: int) -> Tensor:
    """KL(P || Q) for each number of bins that are kept, (channels, thresholds), in nats.

    Q is constant on the filled bins of a level, so the sum over bins of p log q is one over levels, and
    running sums of the counts, of the filled bins and of h log h give every threshold without a loop.

    Args:
        histogram: (channels, bins), counts >= 0.
        kept: (thresholds,), integers from `levels` to bins.
        levels: how many levels the kept bins are merged into.
    """
    first_bin = -(-torch.arange(levels + 1, device=kept.device) * kept[:, None] // levels)  # bin j: level j L // kept
    counts, filled = _running_sum(histogram), _running_sum((histogram > 0).double())
    entropy = _running_sum(torch.special.xlogy(histogram, histogram))
    total, inside, last = counts[:, -1:], counts[:, kept], histogram[:, kept - 1]
    beyond = total - inside
    level_count, level_filled = counts[:, first_bin].diff(dim=2), filled[:, first_bin].diff(dim=2)
    level_filled[..., -1] += (last == 0) & (beyond > 0)
    spread = level_count / (level_filled.clamp(min=1) * inside[..., None])
    level_count[..., -1] += beyond
    p_log_q = torch.special.xlogy(level_count, spread).sum(2) / total
    p_log_p = (entropy[:, kept - 1] + torch.special.xlogy(last + beyond, last + beyond)) / total - total.log()
    return torch.nan_to_num(p_log_p - p_log_q, nan=torch.inf, posinf=torch.inf)


def _running_sum(x: Tensor) -> Tensor:
    return pad(x.cumsum(1), (1, 0))
