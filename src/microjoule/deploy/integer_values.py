"""What flows through the integer runner: integers on a grid, and what waits for one: sums, additions, joined inputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from microjoule.deploy.activation_bounds import integer_bounds
from microjoule.deploy.fixed_point import fixed_point, scaled
from microjoule.numerics.affine import Affine, quantize

Bound = float | Tensor
ACCUMULATOR_BITS = 32


@dataclass(frozen=True, slots=True)
class Integers:
    """A value on its grid.

    Args:
        centred: any shape: the integers less the zero point, so that 0 is 0; held as float32, which is exact for them
            and fast.
        affine: the grid.
    """

    centred: Tensor
    affine: Affine

    @property
    def stored(self) -> Tensor:
        """The integers as a target stores them."""
        return self.centred.to(torch.int32) + self.affine.zero_point

    @property
    def scale(self) -> Tensor:
        """(), float64."""
        return self.affine.scale.double()

    def reals(self) -> Tensor:
        """What the integers stand for."""
        return self.centred * self.affine.scale


@dataclass(frozen=True, slots=True)
class Clamp:
    """A clamp that waits, with a sum, for the grid."""

    low: Bound = -float("inf")
    high: Bound = float("inf")

    def also(self, low: Bound, high: Bound) -> "Clamp":
        """This clamp and then another."""
        lows, highs = torch.as_tensor(low), torch.as_tensor(high)
        below = torch.maximum(torch.as_tensor(self.low), lows).minimum(highs)
        return Clamp(below, torch.minimum(torch.as_tensor(self.high), highs).maximum(lows))

    def on(self, centred: Tensor, affine: Affine) -> Integers:
        """Bound integers that are scaled already.

        Args:
            centred: any shape, whole numbers, the zero point not added.
            affine: the grid.
        """
        bounds = integer_bounds(self.low, self.high, affine)
        low, high = (affine.grid.qmin, affine.grid.qmax) if bounds is None else (bounds.low, bounds.high)
        limits = [torch.as_tensor(bound) - affine.zero_point for bound in (low, high)]
        return Integers(centred.float().clamp(*(limit.float() for limit in limits)), affine)

    def reals(self, x: Tensor) -> Tensor:
        """Clamp real numbers.

        Args:
            x: any shape.
        """
        return torch.minimum(torch.maximum(x, torch.as_tensor(self.low)), torch.as_tensor(self.high))


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of 32 bits on their way to a grid.

    Args:
        total: any shape, whole numbers, held as float32 or float64, whichever is exact.
        scale: () or broadcasting against `total`, float64.
        count: as `scale`: how many values each sum is the mean of.
        clamp: what comes before the grid.
    """

    total: Tensor
    scale: Tensor
    count: Tensor | None = None
    clamp: Clamp = Clamp()

    def clamped(self, low: Bound, high: Bound) -> "Sums":
        """With a clamp, which is applied to the integers in the end."""
        return replace(self, clamp=self.clamp.also(low, high))

    def on(self, affine: Affine) -> Integers:
        """Scaled to a grid: factor, zero point, clamp."""
        return self.clamp.on(scaled(self.total.long(), fixed_point(self._each() / affine.scale.double())), affine)

    def reals(self) -> Tensor:
        """What the sums stand for."""
        return self.clamp.reals((self.total * self._each()).float())

    def _each(self) -> Tensor:
        return self.scale if self.count is None else self.scale / self.count


@dataclass(frozen=True, slots=True)
class Term:
    """What is added: integers times a scale.

    Args:
        centred: any shape, integers.
        scale: (), float64, > 0.
        bits: that the integers have.
    """

    centred: Tensor
    scale: Tensor
    bits: int

    @classmethod
    def of(cls, value: Integers, factor: float = 1.0) -> "Term":
        """A value times a number other than 0."""
        sign = 1.0 if factor > 0 else -1.0
        return cls(value.centred * sign, value.scale * abs(factor), value.affine.grid.bits)

    @classmethod
    def constant(cls, number: float) -> "Term":
        """A number, as one integer of 8 bits."""
        scale = torch.tensor(abs(number) / CONSTANT or 1.0, dtype=torch.float64)
        return cls(torch.tensor(CONSTANT * (number > 0) - CONSTANT * (number < 0)).float(), scale, 8)


CONSTANT = 2**7 - 1
"""The integer that stands for a number which is added."""


@dataclass(frozen=True, slots=True)
class Added:
    """Two values to be added on the next grid.

    Args:
        a: the first.
        b: the second; shapes broadcast.
        clamp: what comes before the grid.
    """

    a: Term
    b: Term
    clamp: Clamp = Clamp()

    def clamped(self, low: Bound, high: Bound) -> "Added":
        """With a clamp, which is applied to the integers in the end."""
        return replace(self, clamp=self.clamp.also(low, high))

    def on(self, affine: Affine) -> Integers:
        """The sum on a grid.

        Both are first scaled to twice the coarser of their scales, divided by as large a power of two
        as 32 bits leave room for (2^20 for 8 bits), and added there.
        """
        total, scale = self._sum()
        return self.clamp.on(scaled(total, fixed_point(scale / affine.scale.double())), affine)

    def reals(self) -> Tensor:
        """What the sum stands for."""
        return self.clamp.reals(sum(v.centred * v.scale.float() for v in (self.a, self.b)))  # type: ignore[arg-type]

    def _sum(self) -> tuple[Tensor, Tensor]:
        largest = 2 * torch.maximum(self.a.scale, self.b.scale)
        bits = 28 - max(self.a.bits, self.b.bits, 8)
        first, second = (scaled(v.centred.long() << bits, fixed_point(v.scale / largest)) for v in (self.a, self.b))
        return first + second, largest / 2**bits


@dataclass(frozen=True, slots=True)
class Joined:
    """Values that go to one grid each on its own, and are put together there.

    Args:
        parts: the values.
        join: puts their integers together.
        clamp: what comes before the grid.
    """

    parts: tuple[Integers, ...]
    join: Callable[[list[Tensor]], Tensor]
    clamp: Clamp = Clamp()

    def clamped(self, low: Bound, high: Bound) -> "Joined":
        """With a clamp, which is applied to the integers in the end."""
        return replace(self, clamp=self.clamp.also(low, high))

    def on(self, affine: Affine) -> Integers:
        """All parts on one grid."""
        return self.clamp.on(self.join([on_grid(part, affine).centred for part in self.parts]), affine)

    def reals(self) -> Tensor:
        """What the parts stand for."""
        return self.clamp.reals(self.join([part.reals() for part in self.parts]))


@dataclass(frozen=True, slots=True)
class Filled:
    """A value with a number around it, which go to the same grid.

    Args:
        inside: the value.
        pads: how many on each side, as torch has it: the last axis first.
        fill: the number.
        clamp: what comes before the grid.
    """

    inside: Integers
    pads: tuple[int, ...]
    fill: float
    clamp: Clamp = Clamp()

    def clamped(self, low: Bound, high: Bound) -> "Filled":
        """With a clamp, which is applied to the integers in the end."""
        return replace(self, clamp=self.clamp.also(low, high))

    def on(self, affine: Affine) -> Integers:
        """Value and number on a grid."""
        steps = float(quantize(torch.tensor(self.fill), affine) - affine.zero_point)
        return self.clamp.on(self._around(on_grid(self.inside, affine).centred, steps), affine)

    def reals(self) -> Tensor:
        """What both stand for."""
        return self.clamp.reals(self._around(self.inside.reals(), self.fill))

    def _around(self, inside: Tensor, fill: float) -> Tensor:
        return nn.functional.pad(inside, self.pads, value=fill)


Value = Integers | Sums | Added | Joined | Filled
VALUES = (Integers, Sums, Added, Joined, Filled)


def on_grid(value: Value, affine: Affine) -> Integers:
    """A value on a grid."""
    if not isinstance(value, Integers):
        return value.on(affine)
    if same_grid(value.affine, affine):
        return Integers(value.centred, affine)
    return Sums(value.centred, value.scale).on(affine)


def same_grid(a: Affine, b: Affine) -> bool:
    """Whether two grids have the same integers at the same places."""
    same_place = bool((a.scale == b.scale).all()) and bool((a.zero_point == b.zero_point).all())
    return a.grid == b.grid and same_place
