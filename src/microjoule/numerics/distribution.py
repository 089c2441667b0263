"""Rows of weighted values: what a range rule reads, be it raw weights or the histogram of an activation."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from microjoule.errors import DataError
from microjoule.numerics.grid import Scheme


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values and how often each occurs, a row for each range that is wanted.

    Args:
        values: (channels, n), one row for a whole tensor; the centres of the bins of a histogram.
        counts: (channels, n), >= 0; 1 for raw values. A value with a count of 0 is not there.
        bounds: the exact smallest and largest, each (channels,), where values do not tell them, as in a histogram.
        width: (channels,), the width of the bins of a histogram, which ascend evenly; None for raw values.

    Raises:
        DataError: for shapes that differ, values that are not finite, negative counts, or a row without a value.
    """

    values: Tensor
    counts: Tensor
    bounds: tuple[Tensor, Tensor] | None = None
    width: Tensor | None = None

    def __post_init__(self) -> None:
        if self.values.dim() != 2 or self.values.shape != self.counts.shape:
            raise DataError(
                "distribution",
                f"values have shape {tuple(self.values.shape)} and counts {tuple(self.counts.shape)}",
                remedy="give both the shape (channels, n)",
            )
        if not bool(torch.isfinite(self.values).all()):
            raise DataError("distribution", "holds NaN or infinity", remedy="look for where they arise")
        if bool((self.counts < 0).any()) or not bool((self.counts > 0).any(dim=1).all()):
            raise DataError("distribution", "has a row without a value, or negative counts", remedy="give some data")

    @classmethod
    def of(cls, x: Tensor, scheme: Scheme) -> "Distribution":
        """The values of a tensor, with a row for each scale of the scheme.

        Args:
            x: any shape; channels at the scheme's axis.
        """
        x = x.detach()
        if scheme.axis is None:
            return cls(x.reshape(1, -1), torch.ones_like(x).reshape(1, -1))
        rows = x.movedim(scheme.axis, 0).reshape(x.shape[scheme.axis], -1)
        block = scheme.block or 1
        missing = -len(rows) % block
        counts = pad(torch.ones_like(rows), (0, 0, 0, missing))
        return cls(
            pad(rows, (0, 0, 0, missing)).reshape(-1, block * rows.shape[1]), counts.reshape(-1, block * rows.shape[1])
        )

    @property
    def low(self) -> Tensor:
        """(channels,), the smallest value."""
        if self.bounds is not None:
            return self.bounds[0]
        return torch.where(self.counts > 0, self.values, torch.inf).amin(1)

    @property
    def high(self) -> Tensor:
        """(channels,), the largest value."""
        if self.bounds is not None:
            return self.bounds[1]
        return torch.where(self.counts > 0, self.values, -torch.inf).amax(1)

    def take(self, rows: slice | Tensor) -> "Distribution":
        """Some of the rows.

        Args:
            rows: a slice, or (channels,) of booleans.
        """
        bounds = None if self.bounds is None else (self.bounds[0][rows], self.bounds[1][rows])
        width = None if self.width is None else self.width[rows]
        return Distribution(self.values[rows], self.counts[rows], bounds, width)
