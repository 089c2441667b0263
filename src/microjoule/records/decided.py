"""What was decided, as plain values: which attempts were made, what each gave, and which was taken."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt to make a network cheaper.

    Args:
        name: of the attempt.
        weights: the widths in bits that weights have, ascending; empty where they stayed in floating point.
        activations: the same of activations.
        value: of the metric; None if the attempt could not be made.
        drop: how much worse that is than FP32, in the metric's unit (points for percent); negative where it is better.
        cost: for one sample, in the unit that `Reached` names; None if the attempt could not be made.
        seconds: to make the network, without scoring it; after an interruption, since the last start.
        reason: why it was taken or left.
    """

    name: str
    weights: tuple[int, ...]
    activations: tuple[int, ...]
    value: float | None
    drop: float | None
    cost: float | None
    seconds: float
    reason: str

    @property
    def stage(self) -> str:
        """What its network is called in other records, such as "data-free W8A8"; W4/8 is two widths."""
        words = (f"{letter}{'/'.join(map(str, bits)) or 32}" for letter, bits in self._widths())
        return f"{self.name} {''.join(words)}"

    def _widths(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return ("W", self.weights), ("A", self.activations)


@dataclass(frozen=True, slots=True)
class Reached:
    """A search for the first attempt that keeps what was asked for.

    Args:
        metric: its name.
        unit: of the metric.
        fp_value: of the metric in FP32.
        samples: that were scored.
        drop: how much worse than FP32 was allowed, in the metric's unit.
        target: for which the network was made.
        cost: what "cheap" meant: "energy", "bytes", "bops" or "latency".
        cost_unit: "pJ", "B", "BOPs" or "ms".
        fp_cost: of the network in FP32.
        attempts: in the order in which they were made.
        chosen: the name of the attempt whose network was taken.
        met: whether that is within the drop.
        reason: why it was taken, in words.
    """

    metric: str
    unit: str
    fp_value: float
    samples: int
    drop: float
    target: str
    cost: str
    cost_unit: str
    fp_cost: float
    attempts: tuple[Tried, ...]
    chosen: str
    met: bool
    reason: str

    @property
    def taken(self) -> Tried:
        """The attempt that was taken."""
        return next(tried for tried in self.attempts if tried.name == self.chosen)
