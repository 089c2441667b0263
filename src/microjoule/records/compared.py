"""Two networks on the same samples, as plain values: what each sample scored, and what the two differ by."""

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from microjoule.errors import DataError

MOST_BITS = 2**20
MOST_NUMBERS = 2**14
"""Values that are stored of one evaluation; of more samples it is the means of as many parts."""

MEAN, JACKKNIFE = "mean", "jackknife"
"""What the metric is: the mean of the values, or what they are the jackknife's pseudo-values of."""

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no difference seen", "error unknown"
"""What a difference shows; better and worse are beyond two standard errors."""

MET, NOT_MET, UNDECIDED = "met", "not met", "undecided"
"""Whether a bound is kept; undecided is within two standard errors of it."""


@dataclass(frozen=True, slots=True)
class SampleScores:
    """What each sample contributes to a metric, in the order of the data, as texts that a file can hold.

    Args:
        kind: `MEAN` or `JACKKNIFE`.
        count: of the values: one a sample, or one a part of consecutive samples where there are fewer.
        low: the smaller of two values, if there are only two; their bits are then in `values`.
        high: the larger one, likewise; None where `values` holds numbers.
        values: base64 of bits, the first of a byte its highest; or of 32-bit floats, little-endian.
    """

    kind: str
    count: int
    low: float | None
    high: float | None
    values: str

    @classmethod
    def of(cls, values: Sequence[float], kind: str = MEAN) -> "SampleScores":
        """Pack values; more than can be stored become the means of parts."""
        low, high = min(values), max(values)
        if kind == MEAN and len(values) <= MOST_BITS and all(value in (low, high) for value in values):
            bits = "".join("1" if value == high else "0" for value in values)
            size = -(-len(bits) // 8)
            packed = int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")
            return cls(kind, len(values), low, high, base64.b64encode(packed).decode())
        if len(values) > MOST_NUMBERS:
            edges = part_edges(len(values), MOST_NUMBERS)
            values = [math.fsum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
        return cls(kind, len(values), None, None, base64.b64encode(_packed(values)).decode())

    def unpacked(self) -> list[float]:
        """The values.

        Raises:
            DataError: if the text holds something else.
        """
        try:
            packed = base64.b64decode(self.values, validate=True)
            found = _numbers(packed) if self.low is None or self.high is None else _of_two(packed, self.low, self.high)
        except (binascii.Error, ValueError) as error:
            raise _damaged(error) from error
        spare = 0 if self.low is None else 7  # the last byte's bits may be more than are needed
        if not self.count <= len(found) <= self.count + spare:
            raise _damaged(f"{len(found)} values for a count of {self.count}")
        return found[: self.count]


def part_edges(samples: int, parts: int) -> list[int]:
    """Where consecutive samples are cut into parts of the same size, up to one: the first of each, and the end."""
    return [samples * part // parts for part in range(parts + 1)]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a network's score differs by from another's on the same samples.

    Args:
        metric: its name.
        unit: of the metric.
        stage: which network.
        reference: which other one.
        value: of the network.
        reference_value: of the other one.
        difference: value - reference_value, in the metric's unit (points for percent).
        standard_error: of the difference, paired; None if the metric gives no scores of samples.
        low: the interval that holds the true difference with 95 %, two standard errors or more to each side.
        high: its other end; both are None without an error.
        won: samples that the network scores better; None if they cannot be counted.
        lost: samples that the other one scores better.
        p_value: of the exact sign test (McNemar) of these counts.
        samples: that both were scored on.
        samples_to_decide: how many would tell the difference from none, if it stays what it is; None if no number.
        method: how the error was found, or why there is none.
        higher_is_better: whether a larger value is the better one.
    """

    metric: str
    unit: str
    stage: str
    reference: str
    value: float
    reference_value: float
    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    won: int | None
    lost: int | None
    p_value: float | None
    samples: int
    samples_to_decide: int | None
    method: str
    higher_is_better: bool = True

    @property
    def drop(self) -> float:
        """How much worse the network is; negative where it is better."""
        return 0.0 - self.difference if self.higher_is_better else self.difference

    @property
    def drop_interval(self) -> tuple[float, float] | None:
        """The interval of the drop; None without an error."""
        if self.low is None or self.high is None:
            return None
        return (-self.high, -self.low) if self.higher_is_better else (self.low, self.high)

    @property
    def verdict(self) -> str:
        """`BETTER`, `WORSE`, `SAME`, or `UNKNOWN` without an error."""
        if self.drop_interval is None:
            return UNKNOWN
        low, high = self.drop_interval
        return WORSE if low > 0 else BETTER if high < 0 else SAME

    def within(self, drop: float) -> str:
        """Whether the network is worse by no more than a drop: `MET`, `NOT_MET`, or `UNDECIDED`, as without an error.

        Args:
            drop: that is allowed, in the metric's unit.
        """
        if self.drop_interval is None:
            return UNDECIDED
        low, high = self.drop_interval
        return MET if high <= drop else NOT_MET if low > drop else UNDECIDED


def _packed(values: Sequence[float]) -> bytes:
    return _little_endian(array("f", values)).tobytes()


def _numbers(packed: bytes) -> list[float]:
    return _little_endian(array("f", packed)).tolist()


def _little_endian(numbers: "array[float]") -> "array[float]":
    """Numbers as a file has them, on any machine, or back."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _of_two(packed: bytes, low: float, high: float) -> list[float]:
    bits = bin(int.from_bytes(b"\1" + packed, "big"))[3:]
    return [high if bit == "1" else low for bit in bits]


def _damaged(reason: object) -> DataError:
    return DataError("scores of samples", f"are damaged: {reason}", remedy="evaluate the network again")
