"""What was decided, as plain values: which attempts were made, which bits were chosen, what each gave."""

from dataclasses import dataclass

from microjoule.records.compared import UNDECIDED, Compared


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
        compared: with FP32, on the samples that attempts are chosen by; None if the attempt could not be made.
    """

    name: str
    weights: tuple[int, ...]
    activations: tuple[int, ...]
    value: float | None
    drop: float | None
    cost: float | None
    seconds: float
    reason: str
    compared: Compared | None = None

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
        fp_value: of the metric in FP32, on the samples that attempts are chosen by.
        samples: these.
        drop: how much worse than FP32 was allowed, in the metric's unit.
        target: for which the network was made.
        cost: what "cheap" meant: "energy", "bytes", "bops" or "latency".
        cost_unit: "pJ", "B", "BOPs" or "ms".
        fp_cost: of the network in FP32.
        attempts: in the order in which they were made.
        chosen: the name of the attempt whose network was taken.
        met: whether that is within the drop, as measured on samples that nothing was chosen by.
        reason: why it was taken, in words.
        confirmed: what it differs by from FP32 on these samples.
        samples_to_decide: how many would tell whether it is within the drop, if it stays what it is; None if no number.
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
    confirmed: Compared | None = None
    samples_to_decide: int | None = None

    @property
    def taken(self) -> Tried:
        """The attempt that was taken."""
        return next(tried for tried in self.attempts if tried.name == self.chosen)

    @property
    def verdict(self) -> str:
        """`MET` or `NOT_MET` beyond the error of what was measured, else `UNDECIDED`."""
        return UNDECIDED if self.confirmed is None else self.confirmed.within(self.drop)


@dataclass(frozen=True, slots=True)
class MixedPrecision:
    """Bits for every layer and every value, chosen for the least predicted loss within a budget.

    Args:
        target: for which they were chosen.
        cost: what the budget is counted in: "bops", "bytes", "energy", or a function's name.
        unit: of the cost.
        budget: what the network may cost for one sample.
        spent: what it costs with these bits.
        loss: that the estimates of the chosen bits come to together: nats a sample, or half a squared error.
        bound: no choice within the budget has a smaller loss than this; equal to `loss` if the choice is optimal.
        greedy_loss: of the greedy choice within the same budget.
        samples: that were looked at.
        weights: layer's path -> bits of its weights.
        activations: path of the layer that makes a value, or the name of a value that no layer makes -> its bits.
    """

    target: str
    cost: str
    unit: str
    budget: float
    spent: float
    loss: float
    bound: float
    greedy_loss: float
    samples: int
    weights: dict[str, int]
    activations: dict[str, int]

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no choice within the budget has a smaller loss."""
        return self.loss == self.bound

    @property
    def layers(self) -> dict[str, tuple[int | None, int | None]]:
        """The choice as `quantize(layers=...)` takes it: (weights, outputs) by path or value."""
        names = dict.fromkeys((*self.weights, *self.activations))
        return {name: (self.weights.get(name), self.activations.get(name)) for name in names}


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A network that was chosen for a budget, and measured.

    Args:
        budget: what it may cost, as it was asked for; of a network that was compressed the share of the cost.
        spent: what it costs.
        loss: predicted.
        value: of the metric, measured; on samples that nothing was chosen by.
        on_front: whether no other point costs no more and scores no less, and better in one.
        compared: with the network in floating point, on the same samples.
        chosen_value: of the metric, on the samples that the network was chosen by; None if nothing was chosen.
    """

    budget: str
    spent: float
    loss: float
    value: float
    on_front: bool
    compared: Compared | None = None
    chosen_value: float | None = None


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """Accuracy against cost: a measured network for each of several budgets.

    Args:
        metric: its name.
        unit: of the metric.
        fp_value: of the metric for the network as it is, in FP32.
        samples: that were scored.
        cost: what the budgets are counted in.
        cost_unit: of the cost.
        points: the cheapest first.
    """

    metric: str
    unit: str
    fp_value: float
    samples: int
    cost: str
    cost_unit: str
    points: tuple[FrontPoint, ...]
