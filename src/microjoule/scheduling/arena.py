"""Buffers that live for some time, and a plan that says where each of them lies in one block of memory, the arena.

Finding the smallest arena is dynamic storage allocation, which is NP-hard. No arena is smaller than the load, the most
bytes that live at one time; whether it can be as small as that is what `greedy` tries and `exact` decides.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Self

from microjoule.errors import FileError, SettingError
from microjoule.scheduling.computation import LARGEST

COLUMNS = ("id", "lower", "upper", "size")
"""Of a file of buffers."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that are needed for some time, from `lower` on and until before `upper`.

    Args:
        name: for people.
        lower: the first moment at which it lives.
        upper: the first moment at which it lives no more.
        size_bytes: what it takes.

    Raises:
        SettingError: for a life without a moment, or a size that is no whole number from 0 to 2^53.
    """

    name: str
    lower: int
    upper: int
    size_bytes: int

    def __post_init__(self) -> None:
        place, size = f"buffer {self.name!r}", self.size_bytes
        if not all(type(moment) is int for moment in (self.lower, self.upper)) or self.lower >= self.upper:
            fact = f"lives from {self.lower!r} until before {self.upper!r}"
            raise SettingError(place, fact, remedy="give whole numbers, the second one larger")
        if type(size) is not int or not 0 <= size <= LARGEST:
            raise SettingError(place, f"has {size!r} bytes", remedy="give a whole number from 0 to 2^53")

    def meets(self, other: Self) -> bool:
        """Whether the two live at the same time."""
        return self.lower < other.upper and other.lower < self.upper


@dataclass(frozen=True, slots=True)
class Plan:
    """Where buffers lie.

    Args:
        offsets: of each buffer's first byte from the start of the arena.
        size_bytes: of the arena.
    """

    offsets: tuple[int, ...]
    size_bytes: int

    @classmethod
    def of(cls, buffers: Sequence[Buffer], offsets: Iterable[int]) -> Self:
        """The plan with these offsets, and with an arena that ends with the last buffer."""
        found = tuple(offsets)
        ends = (offset + one.size_bytes for offset, one in zip(found, buffers, strict=True))
        return cls(found, max(ends, default=0))


def load(buffers: Sequence[Buffer]) -> int:
    """The most bytes that live at one time: no arena is smaller."""
    starts = [(one.lower, one.size_bytes) for one in buffers]
    ends = [(one.upper, -one.size_bytes) for one in buffers]
    return max(accumulate((change for _, change in sorted(starts + ends)), initial=0))


def aligned(buffers: Iterable[Buffer], alignment: int) -> list[Buffer]:
    """The same buffers, with sizes rounded up to multiples of the alignment.

    Where sizes are multiples, so are the offsets of every plan in which no buffer could lie lower.

    Raises:
        SettingError: if the alignment is no whole number from 1.
    """
    if type(alignment) is not int or alignment < 1:
        raise SettingError("alignment", f"got {alignment!r}", remedy="give a whole number of bytes, 1 or more")
    return [Buffer(one.name, one.lower, one.upper, -(-one.size_bytes // alignment) * alignment) for one in buffers]


def read_buffers(path: str | Path) -> list[Buffer]:
    """Buffers from a file in MiniMalloc's format: comma-separated, with the columns id, lower, upper and size.

    Raises:
        FileError: if there is no such file, or it holds something else.
    """
    place = Path(path)
    remedy = f"give a file of comma-separated values with the columns {', '.join(COLUMNS)}"
    try:
        with place.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = set(COLUMNS) - set(rows.fieldnames or ())
            if missing:
                raise FileError(str(place), f"has no column {min(missing)!r}", remedy=remedy)
            return [_buffer(f"{place}, line {rows.line_num}", row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(str(place), f"cannot be read ({error})", remedy=remedy) from error


def _buffer(place: str, row: dict[str, str]) -> Buffer:
    try:
        return Buffer(row["id"], int(row["lower"]), int(row["upper"]), int(row["size"]))
    except (TypeError, ValueError) as error:
        fact = f"is no buffer: {', '.join(f'{name}={row[name]}' for name in COLUMNS)}"
        raise FileError(place, fact, remedy="give whole numbers, with lower below upper and a size from 0") from error
