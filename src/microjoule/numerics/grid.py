"""Which integers a quantized tensor may hold, and how they are laid over a tensor."""

import re
from dataclasses import dataclass

from microjoule.errors import SettingError

INTERVAL = re.compile(r"\[\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*([\])])")
MAX_BITS = 16


@dataclass(frozen=True, slots=True)
class IntGrid:
    """The integers qmin, qmin + 1, ..., qmax.

    IntGrid(8) is int8 and IntGrid(8, signed=False) is uint8. A narrow grid leaves out the most
    negative integer, so that it is symmetric around 0.

    Raises:
        SettingError: for a number of bits outside 1 to 16, or a narrow unsigned grid.
    """

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= MAX_BITS:
            raise SettingError(
                "bits",
                f"a grid holds 1 to {MAX_BITS} bits, got {self.bits!r}",
                remedy="choose a whole number in between",
            )
        if self.narrow and not self.signed:
            raise SettingError(
                "narrow", "a narrow grid is symmetric around 0, so it must be signed", remedy="set signed=True"
            )
        if self.narrow and self.bits == 1:
            raise SettingError("narrow", "a narrow grid of 1 bit holds 0 alone", remedy="use at least 2 bits")

    @property
    def qmin(self) -> int:
        """The smallest integer."""
        return -(1 << self.bits - 1) + self.narrow if self.signed else 0

    @property
    def qmax(self) -> int:
        """The largest integer."""
        return (1 << self.bits - 1) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def steps(self) -> int:
        """How many steps lie between the smallest and the largest integer."""
        return self.qmax - self.qmin

    @property
    def size_bytes(self) -> float:
        """Bytes of one packed value."""
        return self.bits / 8


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a grid is laid over a tensor, before any scale is known.

    Args:
        grid: the integers.
        symmetric: the zero point is fixed in the middle of the grid (0 if signed).
        axis: the dimension that has a scale of its own for each index; None for one scale a tensor.
        block: how many neighbouring channels along `axis` share a scale; None for one each.
        power_of_two: scales are powers of two, so that a target only shifts.

    Raises:
        SettingError: for blocks without an axis, or blocks of less than one channel.
    """

    grid: IntGrid
    symmetric: bool = False
    axis: int | None = None
    block: int | None = None
    power_of_two: bool = False

    def __post_init__(self) -> None:
        if self.block is not None and self.axis is None:
            raise SettingError("block", "blocks of channels need an axis", remedy="give the axis of the channels")
        if self.block is not None and self.block < 1:
            raise SettingError("block", f"holds {self.block} channels", remedy="use at least 1")


@dataclass(frozen=True, slots=True)
class Interval:
    """What the values of an operator can be, whatever it reads: [low, high], or [low, high) with an open end.

    Raises:
        SettingError: unless low <= 0 < high.
    """

    low: float
    high: float
    open_end: bool = False

    def __post_init__(self) -> None:
        if not self.low <= 0 < self.high:
            raise SettingError("interval", f"{self} does not hold 0", remedy="give low <= 0 < high")

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """From the notation of mathematics, "[0, 1]" or "[-1, 1)".

        Raises:
            SettingError: for anything else.
        """
        match = INTERVAL.fullmatch(text.strip())
        if match is None:
            raise SettingError("interval", f"got {text!r}", remedy='write it as "[0, 1]" or "[-1, 1)"')
        return cls(float(match[1]), float(match[2]), match[3] == ")")

    @property
    def width(self) -> float:
        """From one end to the other."""
        return self.high - self.low

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"[{self.low:g}, {self.high:g}{')' if self.open_end else ']'}"
