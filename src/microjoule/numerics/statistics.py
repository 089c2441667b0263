"""Statistics of a stream of batches that can be merged, so that batches may be split over processes or devices.

Source: `Moments`: Chan, Golub, LeVeque 1979, Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances; `RunningRange`: the exponential average of Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section
3.1, with the bias correction of Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, section 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.errors import DataError, SettingError
from microjoule.numerics.distribution import Distribution

BINS = 2048
"""Bins of a histogram: 8 or more for each step of an 8-bit grid, of which at least half are in use."""

SAMPLE = 2**14
"""Values of a tensor that a histogram counts at one update, at most: 8 for each bin, of one batch among many."""

DIGITS = 24
"""Binary digits of a float32: a bin is never narrower than the last of the largest value."""

SMALLEST_EXPONENT = -126
"""Of a normal float32."""


def _not_finite() -> DataError:
    return DataError("statistics", "the values hold NaN or infinity", remedy="find the first layer that gives them")


def _check_not_empty(x: Tensor) -> None:
    if x.numel() == 0:
        raise DataError("statistics", f"a batch of shape {tuple(x.shape)} has no values", remedy="leave it out")


def _other_dimensions(x: Tensor, axis: int | None) -> list[int]:
    return [d for d in range(x.dim()) if axis is None or d != axis % x.dim()]


# Moments -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MomentSums:
    """A count, and per channel the mean and the sum of squared distances from it, both (channels,) in float64."""

    count: int
    mean: Tensor
    squares: Tensor


def moments_of(x: Tensor, axis: int | None) -> MomentSums:
    """The moments of one batch.

    Args:
        x: any shape; channels at `axis`, or all values are one channel.
        axis: the dimension of the channels.
    """
    _check_not_empty(x)
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    channels = 1 if axis is None else x.shape[axis]
    mean, variance = _mean_and_variance(x, _other_dimensions(x, axis))
    if not _are_finite(mean, variance):
        if not _are_finite(x):
            raise _not_finite()
        mean, variance = _mean_and_variance(x.double(), _other_dimensions(x, axis))  # squares beyond float32
    count = x.numel() // channels
    return MomentSums(count, mean.double().reshape(channels), variance.double().reshape(channels) * count)


def _mean_and_variance(x: Tensor, dims: list[int]) -> tuple[Tensor, Tensor]:
    if not dims:
        return x, torch.zeros_like(x)
    variance, mean = torch.var_mean(x, dim=dims, correction=0)
    return mean, variance


def _are_finite(*values: Tensor) -> bool:
    return all(bool(torch.isfinite(one).all()) for one in values)


def merge_moments(a: MomentSums, b: MomentSums) -> MomentSums:
    """The moments of both batches together (Chan et al. 1979, equation 2.1)."""
    count = a.count + b.count
    apart = b.mean - a.mean
    squares = a.squares + b.squares + apart.square() * (a.count * b.count / count)
    return MomentSums(count, a.mean + apart * (b.count / count), squares)


class Moments:
    """Count, mean and variance per channel.

    Args:
        axis: the dimension of the channels; None for one channel of all values.
    """

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self._sums: MomentSums | None = None

    def update(self, x: Tensor) -> None:
        """Take in a batch.

        Args:
            x: any shape; channels at the axis.
        """
        self._take(moments_of(x, self.axis))

    def merge(self, other: "Moments") -> None:
        """Take in what another has seen."""
        if other._sums is not None:
            self._take(other._sums)

    def _take(self, sums: MomentSums) -> None:
        if self._sums is not None and self._sums.mean.shape != sums.mean.shape:
            raise DataError(
                "statistics",
                f"a batch has {len(sums.mean)} channels, expected {len(self._sums.mean)}",
                remedy="give batches of one kind",
            )
        self._sums = sums if self._sums is None else merge_moments(self._sums, sums)

    @property
    def count(self) -> int:
        """Values seen in each channel."""
        return 0 if self._sums is None else self._sums.count

    @property
    def mean(self) -> Tensor:
        """(channels,), float64."""
        return self._seen().mean

    @property
    def variance(self) -> Tensor:
        """(channels,), float64, of the values seen (divided by count, not count - 1)."""
        return self._seen().squares / self.count

    def _seen(self) -> MomentSums:
        if self._sums is None:
            raise DataError("statistics", "have seen no values", remedy="update them with a batch first")
        return self._sums


# Histogram ---------------------------------------------------------------------------------------


def bin_exponent(low: float, high: float) -> int:
    """The smallest k for which bins of width 2^k, aligned to its multiples, cover [low, high] with `BINS` of them."""
    largest = max(abs(low), abs(high))
    exponent = max(math.frexp(largest)[1] - DIGITS, SMALLEST_EXPONENT) if largest else SMALLEST_EXPONENT
    while bin_of(high, exponent) - bin_of(low, exponent) >= BINS:
        exponent += 1
    return exponent


def bin_of(value: float, exponent: int) -> int:
    """The k-th bin holds [k * 2^exponent, (k + 1) * 2^exponent)."""
    return math.floor(math.ldexp(value, -exponent))


def sample_stride(count: int) -> int:
    """The least stride that leaves at most `SAMPLE` of `count` values and shares no factor with `count`.

    Then it shares none with any size of the tensor, and visits all rows, columns and channels alike.
    """
    stride = -(-count // SAMPLE)
    while math.gcd(stride, count) > 1:
        stride += 1
    return stride


def in_memory_order(x: Tensor) -> Tensor:
    """All values, (n,), in the order in which they lie in memory; without a copy if there are no gaps.

    Args:
        x: any shape.
    """
    return x.permute(sorted(range(x.dim()), key=x.stride, reverse=True)).reshape(-1)


def rebinned(counts: Tensor, start: int, *, shift: int, new_start: int) -> Tensor:
    """Merge bins in groups of 2^shift neighbours and move the first bin.

    Args:
        counts: (BINS,), of the bins start, start + 1, ...
        start: the first bin.
        shift: how much the exponent grows.
        new_start: the first bin afterwards, in the new width.
    """
    at = torch.arange(start, start + BINS, device=counts.device) >> shift
    inside = counts > 0
    return torch.zeros_like(counts).index_add_(0, at[inside] - new_start, counts[inside])


class Histogram:
    """Counts of the values of whole tensors in 2048 bins, and the exact smallest and largest value.

    `low`, `high` and `seen` regard every value. The counts regard a sample of at most 16384 values of each
    tensor (every stride-th, with a stride coprime to its sizes), each weighted by the stride.

    Widths are powers of two and bins are aligned to multiples of the width, so that a wider range merges
    neighbouring bins exactly. The result does not depend on the order of updates and merges.
    """

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.seen = 0
        self.exponent = SMALLEST_EXPONENT
        self._start = 0
        self._counts: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take in a batch.

        Args:
            x: any shape.
        """
        _check_not_empty(x)
        x = in_memory_order(x.detach())
        low, high = torch.stack(torch.aminmax(x)).tolist()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise _not_finite()
        counts = self._widen(float(low), float(high), x)
        stride = sample_stride(x.numel())
        at = torch.floor(x[::stride].double() * 2.0**-self.exponent).long() - self._start
        counts += torch.bincount(at, minlength=BINS) * stride
        self.seen += x.numel()

    def merge(self, other: "Histogram") -> None:
        """Take in what another has seen."""
        if other._counts is None:
            return
        counts = self._widen(other.low, other.high, other._counts)
        shift = self.exponent - other.exponent
        counts += rebinned(other._counts, other._start, shift=shift, new_start=self._start).to(counts.device)
        self.seen += other.seen

    def _widen(self, low: float, high: float, like: Tensor) -> Tensor:
        """Cover [low, high] too, and give the counts, which stand on the device of the first batch."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        exponent = bin_exponent(self.low, self.high)
        start = bin_of(self.low, exponent)
        if self._counts is None:
            self._counts = torch.zeros(BINS, dtype=torch.int64, device=like.device)
        elif (exponent, start) != (self.exponent, self._start):
            self._counts = rebinned(self._counts, self._start, shift=exponent - self.exponent, new_start=start)
        self.exponent, self._start = exponent, start
        return self._counts

    @property
    def width(self) -> float:
        """Of each bin."""
        return 2.0**self.exponent

    def distribution(self) -> Distribution:
        """Its bins from the smallest to the largest value, one row; their values are their centres."""
        if self._counts is None:
            raise DataError("statistics", "have seen no values", remedy="update them with a batch first")
        bins = bin_of(self.high, self.exponent) - self._start + 1
        counts = self._counts[None, :bins].double()
        centres = (self._start + 0.5 + torch.arange(bins, dtype=torch.float64, device=counts.device)) * self.width
        bounds = counts.new_tensor([self.low]), counts.new_tensor([self.high])
        return Distribution(centres[None], counts, bounds, counts.new_tensor([self.width]))


# Running range -----------------------------------------------------------------------------------


class RunningRange:
    """The exponential average of each batch's smallest and largest value.

    After batches 1 to n with smallest values x_i,

        low = sum_i momentum^(n - i) x_i / sum_i momentum^(n - i),

    so the first batch counts in full and none is needed to warm up. `merge` appends the other's batches after
    the own: it is associative, and the same as if one had seen them all in that order.

    Args:
        axis: the dimension of the channels; None for one channel of all values.
        momentum: what stays of the average at each batch; 0 keeps the last batch alone.

    Raises:
        SettingError: unless 0 <= momentum < 1.
    """

    def __init__(self, axis: int | None = None, *, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise SettingError("momentum", f"got {momentum}", remedy="choose at least 0 and less than 1, such as 0.9")
        self.axis = axis
        self.momentum = momentum
        self.batches = 0
        self._sums: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take in a batch.

        Args:
            x: any shape; channels at the axis.
        """
        self._append(range_of(x, self.axis), 1)

    def merge(self, other: "RunningRange") -> None:
        """Take in what another has seen, as what came after."""
        if other.momentum != self.momentum:
            raise SettingError("momentum", f"{other.momentum} and {self.momentum} differ", remedy="use the same one")
        if other._sums is not None:
            self._append(other._sums, other.batches)

    def _append(self, sums: Tensor, batches: int) -> None:
        if self._sums is not None and self._sums.shape != sums.shape:
            raise DataError(
                "statistics",
                f"a batch has {sums.shape[1]} channels, expected {self._sums.shape[1]}",
                remedy="give batches of one kind",
            )
        self._sums = sums if self._sums is None else self._sums * self.momentum**batches + sums
        self.batches += batches

    @property
    def low(self) -> Tensor:
        """(channels,), float64."""
        return self._average()[0]

    @property
    def high(self) -> Tensor:
        """(channels,), float64."""
        return self._average()[1]

    def _average(self) -> Tensor:
        if self._sums is None:
            raise DataError("statistics", "have seen no values", remedy="update them with a batch first")
        return self._sums / sum(self.momentum**i for i in range(self.batches))


def range_of(x: Tensor, axis: int | None) -> Tensor:
    """The smallest and the largest value per channel, (2, channels), float64.

    Args:
        x: any shape; channels at `axis`, or all values are one channel.
        axis: the dimension of the channels.
    """
    _check_not_empty(x)
    x = x.detach()
    others = _other_dimensions(x, axis)
    ends = torch.aminmax(x) if axis is None else (x.amin(others), x.amax(others)) if others else (x, x)
    both = torch.stack(tuple(ends)).double().reshape(2, -1)
    if not bool(torch.isfinite(both).all()):
        raise _not_finite()
    return both
