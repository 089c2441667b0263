"""What flows through the integer runner: integers on a grid, sums that wait for one, and inputs joined before one."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from microjoule.deploy.activation_bounds import integer_bounds
from microjoule.deploy.fixed_point import fixed_point, scaled
from microjoule.numerics.affine import Affine

Bound = float | Tensor


@dataclass(frozen=True, slots=True)
class Integers:
    """A value on its grid.

    Args:
        centred: any shape, int32: the integers less the zero point, so that 0 is 0.
        affine: the grid.
    """

    centred: Tensor
    affine: Affine

    @property
    def stored(self) -> Tensor:
        """The integers as a target stores them."""
        return self.centred + self.affine.zero_point

    @property
    def scale(self) -> Tensor:
        """(), float64."""
        return self.affine.scale.double()

    def reals(self) -> Tensor:
        """What the integers stand for."""
        return self.centred.float() * self.affine.scale


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of 32 bits on their way to a grid.

    Args:
        total: any shape, int64.
        scale: () or broadcasting against `total`, float64.
        low: a clamp that comes before the grid.
        high: likewise.
    """

    total: Tensor
    scale: Tensor
    low: Bound = -float("inf")
    high: Bound = float("inf")

    def clamped(self, low: Bound, high: Bound) -> "Sums":
        """With a clamp, which is applied to the integers in the end."""
        lows = torch.maximum(torch.as_tensor(self.low), torch.as_tensor(low))
        return replace(self, low=lows, high=torch.minimum(torch.as_tensor(self.high), torch.as_tensor(high)))

    def on(self, affine: Affine) -> Integers:
        """Scaled to a grid: multiplier, shift, zero point, clamp."""
        q = scaled(self.total, fixed_point(self.scale / affine.scale.double())) + affine.zero_point
        q = q.clamp(affine.grid.qmin, affine.grid.qmax)
        bounds = integer_bounds(self.low, self.high, affine)
        if bounds is not None:
            q = torch.minimum(torch.maximum(q, bounds.low), bounds.high)
        return Integers((q - affine.zero_point).to(torch.int32), affine)

    def reals(self) -> Tensor:
        """What the sums stand for."""
        reals = (self.total * self.scale).float()
        return torch.minimum(torch.maximum(reals, torch.as_tensor(self.low)), torch.as_tensor(self.high))


@dataclass(frozen=True, slots=True)
class Joined:
    """Values to be concatenated, which go to one grid each on its own."""

    parts: tuple[Integers, ...]
    dim: int

    def on(self, affine: Affine) -> Integers:
        """All parts on one grid."""
        moved = [part if same_grid(part.affine, affine) else _sums(part).on(affine) for part in self.parts]
        return Integers(torch.cat([part.centred for part in moved], self.dim), affine)

    def reals(self) -> Tensor:
        """What the parts stand for."""
        return torch.cat([part.reals() for part in self.parts], self.dim)


Value = Integers | Sums | Joined


def on_grid(value: Value, affine: Affine) -> Integers:
    """A value on a grid."""
    if isinstance(value, Integers):
        return Integers(value.centred, affine) if same_grid(value.affine, affine) else _sums(value).on(affine)
    return value.on(affine)


def same_grid(a: Affine, b: Affine) -> bool:
    """Whether two grids have the same integers at the same places."""
    same_place = bool((a.scale == b.scale).all()) and bool((a.zero_point == b.zero_point).all())
    return a.grid == b.grid and same_place


def _sums(value: Integers) -> Sums:
    return Sums(value.centred.long(), value.scale)
