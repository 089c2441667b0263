"""Options of two values, as they stand on a command line."""

import math
from collections.abc import Sequence

PAIRED = ("--normalise", "--normalize", "--input-range")
"""Options of two values, which may stand one after the other."""


def joined_pairs(words: Sequence[str]) -> list[str]:
    """A command line in which the two values of an option are one word: "--normalise", "0.5 0.25"."""
    found: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        found.append(word)
        if word in PAIRED and len(left) > 1 and numbers(left[0]) and numbers(left[1]):
            found.append(f"{left.pop(0)} {left.pop(0)}")
    return found


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between; none where there is anything else."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
    return found if all(math.isfinite(number) for number in found) else ()
