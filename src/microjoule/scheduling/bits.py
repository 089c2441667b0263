"""Sets of operators as whole numbers: bit i stands for operator i."""

from collections.abc import Iterable, Iterator


def mask(indices: Iterable[int]) -> int:
    """The set of some indices."""
    found = 0
    for index in indices:
        found |= 1 << index
    return found


def ones(bits: int) -> Iterator[int]:
    """The indices in a set, the smallest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
