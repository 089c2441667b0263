"""Range rules: which range of a distribution a grid is laid over.

A wide range clips nothing and has a large step; a narrow one clips, and rounds finely. The rules weigh the two differently.

Source: Nagel et al. 2021, A White Paper on Neural Network Quantization, https://arxiv.org/abs/2106.08295, section 3.1;
`kl`: Migacz 2017, 8-bit Inference with TensorRT, GPU Technology Conference, session S7310, slides 27 to 39.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from microjoule.errors import SettingError
from microjoule.numerics.affine import affine_from_range, fake_quantize
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.error import kl_divergence
from microjoule.numerics.grid import Scheme

RangeRule = Callable[[Distribution, Scheme], tuple[Tensor, Tensor]]
"""A distribution of (channels, n) and the scheme to come -> (low, high), each (channels,)."""

CHUNK = 2**18
"""Values looked at together by `mse`: 1 MiB of float32, so that a pass stays in the cache."""

COARSE, FINE, FINEST = 1 / 16, 1 / 64, 1 / 256
"""Spacings of the shrink factors that `mse` tries; each divides the one before by 4, so 3 on either side fill the gap."""

KL_BINS, KL_STRIDE = 2048, 8
"""Bins of Migacz's histogram; he tries every bin as the threshold, every eighth costs 0.4 % of the range at most."""


def min_max(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
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

    def rule(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
        low, high = distribution.low, distribution.high
        if share == 0:
            return low, high
        values, order = distribution.values.sort(dim=1)
        counts = distribution.counts.double().gather(1, order)
        first, last = _past_share(values, counts, share), _past_share(values.flip(1), counts.flip(1), share)
        return torch.clamp(first, low, high), torch.clamp(last, low, high)

    return rule


def _past_share(values: Tensor, counts: Tensor, share: float) -> Tensor:
    """The first value that is not within the first share of the counts."""
    total = counts.cumsum(1)
    clipped = total[:, -1:] * share * (1 + 1e-9)  # 100 - 99.9 is a little less than 0.1 in floating point
    at = torch.searchsorted(total, clipped, right=True)
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
    for ends, offsets in _search_plan(scheme.symmetric, two_sided=bool((low < 0).any() and (high > 0).any())):
        centre = factors.clone()
        for offset in offsets:
            trial = centre.clone()
            trial[ends] = (trial[ends] + offset).clamp(FINEST, 1)
            error = squared_error(distribution, *_shrunk(low, high, trial, scheme.symmetric), scheme)
            better = error < least
            least, factors = torch.where(better, error, least), torch.where(better, trial, factors)
    return _shrunk(low, high, factors, scheme.symmetric)


def _search_plan(symmetric: bool, *, two_sided: bool) -> Iterator[tuple[slice, list[float]]]:
    """Which ends to move, and by which steps of the shrink factor."""
    both, low, high = slice(0, 2), slice(0, 1), slice(1, 2)
    one_at_a_time = [both] if symmetric or not two_sided else [high, low]
    yield both, [-COARSE * k for k in range(1, 16)]
    for spacing in (COARSE, FINE, FINEST):
        if spacing < COARSE or len(one_at_a_time) == 2:
            for ends in one_at_a_time:
                yield ends, [spacing * k for k in (-3, -2, -1, 1, 2, 3)]


def _shrunk(low: Tensor, high: Tensor, factors: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
    if not symmetric:
        return low * factors[0], high * factors[1]
    clip = factors[0] * torch.maximum(-low, high)
    return torch.maximum(low, -clip), torch.minimum(high, clip)


# Histogram KL ------------------------------------------------------------------------------------


def kl(distribution: Distribution, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Clip |x| where the clipped histogram and its quantized form diverge least.

    For each threshold, P is the histogram up to it with everything above added to its last bin, and Q is
    the same bins without that, merged into as many levels as the grid has on one side of 0 and spread
    evenly again over the bins that are not empty. The threshold with the least KL(P || Q) is taken. The
    bin at 0 is given the count of its neighbour, since 0 is always on the grid (after a ReLU it holds half
    of all values). Values on both sides of 0 get the same threshold on both. A grid with as many levels as
    the histogram has bins or more covers every value.
    """
    low, high = distribution.low, distribution.high
    threshold = torch.maximum(low.abs(), high.abs())
    half = max((scheme.grid.steps + 1) // 2, 1)
    one_sided = (low >= 0) | (high <= 0)
    for rows, levels in ((one_sided, half if scheme.symmetric else scheme.grid.steps + 1), (~one_sided, half)):
        if levels < KL_BINS and bool(rows.any()):
            histogram = magnitudes(distribution.take(rows), KL_BINS)
            threshold[rows] *= least_divergent_share(histogram, levels).to(threshold.dtype)
    return torch.clamp(low, -threshold, threshold), torch.clamp(high, -threshold, threshold)


def magnitudes(distribution: Distribution, bins: int) -> Tensor:
    """The histogram of |x| from 0 to the largest, (channels, bins); bins that have a width are cut where they must be."""
    largest = torch.maximum(distribution.low.abs(), distribution.high.abs()).double()
    largest = torch.where(largest > 0, largest, 1.0)[:, None]
    counts = distribution.counts.double()
    if distribution.width is None:
        at = (distribution.values.abs() / largest * bins).long().clamp(max=bins - 1)
        return torch.zeros(len(counts), bins, dtype=counts.dtype, device=counts.device).scatter_add_(1, at, counts)
    edges = largest * torch.linspace(0, 1, bins + 1, dtype=counts.dtype, device=counts.device)
    return (_count_below(distribution, edges) - _count_below(distribution, -edges)).diff(dim=1)


def _count_below(distribution: Distribution, points: Tensor) -> Tensor:
    """How much of a histogram lies below each point, (channels, points), its bins taken as evenly filled."""
    assert distribution.width is not None
    counts, width = distribution.counts.double(), distribution.width.double()[:, None]
    start = distribution.values[:, :1].double() - width / 2
    position = ((points - start) / width).clamp(0, counts.shape[1])
    whole = position.long().clamp(max=counts.shape[1] - 1)
    return (counts.cumsum(1) - counts).gather(1, whole) + (position - whole) * counts.gather(1, whole)


def least_divergent_share(histogram: Tensor, levels: int) -> Tensor:
    """The share of the bins to keep, (channels,), in 0 to 1.

    Args:
        histogram: (channels, bins), counts of |x|.
        levels: how many levels the kept bins are merged into.
    """
    bins = histogram.shape[1]
    histogram = torch.cat([histogram[:, 1:2], histogram[:, 1:]], dim=1)
    beyond = histogram.sum(1, keepdim=True) - histogram.cumsum(1)
    least, share = torch.full_like(histogram[:, 0], torch.inf), torch.ones_like(histogram[:, 0])
    for kept in range(bins, levels - 1, -KL_STRIDE):
        inside = histogram[:, :kept]
        clipped = torch.cat([inside[:, :-1], inside[:, -1:] + beyond[:, kept - 1 : kept]], dim=1)
        divergence = kl_divergence(clipped, _merged(inside, clipped > 0, levels))
        better = divergence < least
        least, share = torch.where(better, divergence, least), torch.where(better, kept / bins, share)
    return share


def _merged(inside: Tensor, filled: Tensor, levels: int) -> Tensor:
    """Merge bins into levels and spread each level evenly over its filled bins."""
    kept = inside.shape[1]
    level = torch.arange(kept, device=inside.device) * levels // kept
    empty = torch.zeros(len(inside), levels, dtype=inside.dtype, device=inside.device)
    total, bins = empty.index_add(1, level, inside), empty.index_add(1, level, filled.to(inside.dtype))
    return torch.where(filled, (total / bins.clamp(min=1))[:, level], 0.0)
