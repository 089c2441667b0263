"""What compression did, as plain values."""

from dataclasses import dataclass

from microjoule.records.compared import Compared
from microjoule.records.skipped import Skipped


@dataclass(frozen=True, slots=True)
class LayerFactorized:
    """One layer as a chain of factors.

    Args:
        layer: its path, under which the factors are.
        method: the form: "spatial", "input", "output" or "tucker".
        ranks: the channels between factors.
        full_ranks: with which nothing would be lost.
        macs_before: for one sample.
        macs_after: of all factors.
        error: the squared error of the weight over its sum of squares; with data, of the output over its variance.
    """

    layer: str
    method: str
    ranks: tuple[int, ...]
    full_ranks: tuple[int, ...]
    macs_before: int
    macs_after: int
    error: float


@dataclass(frozen=True, slots=True)
class Factorized:
    """Layers replaced by chains of factors.

    Args:
        source: the data whose moments the outputs' errors were made small for; None for data-free.
        samples: of that data; 0 for none.
        layers: what became of each, in order.
        skipped: layers that stayed as they were.
    """

    source: str | None
    samples: int
    layers: tuple[LayerFactorized, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Divided:
    """One way to divide the work between channels that go and low-rank forms, carried out and scored.

    Args:
        pruned_to: the share of the cost that channels alone leave; the forms do the rest.
        loss: foreseen: relative squared errors of outputs, summed over layers.
        greedy_loss: of the greedy choice within the same budgets.
        cost: of the layers that are left, in the unit of the record that holds this.
        value: of the metric.
    """

    pruned_to: float
    loss: float
    greedy_loss: float
    cost: float
    value: float


@dataclass(frozen=True, slots=True)
class LayerCompressed:
    """What is left of one layer.

    Args:
        layer: its path.
        channels_before: that it reads and makes.
        channels_after: likewise.
        method: its low-rank form, or "" for none.
        ranks: the channels between factors; none without a form.
        cost_before: for one sample, in the unit of the record that holds this; a latency is the model's.
        cost_after: likewise.
    """

    layer: str
    channels_before: tuple[int, int]
    channels_after: tuple[int, int]
    method: str
    ranks: tuple[int, ...]
    cost_before: float
    cost_after: float


@dataclass(frozen=True, slots=True)
class LatencyModelled:
    """A model of a network's latency: what a budget of milliseconds is divided between layers by.

    Args:
        latency_ms: of the network as it is, as measured.
        fixed_ms: of the model: what no layer has.
        factors: milliseconds for one of each size of a layer, by the size's name.
        networks: of other shapes, that were timed for it.
        relative_error: of the model, the root mean square over networks, each foreseen by a fit of the others.
        clock: what was timed, and how.
    """

    latency_ms: float
    fixed_ms: float
    factors: dict[str, float]
    networks: int
    relative_error: float
    clock: str


@dataclass(frozen=True, slots=True)
class Compressed:
    """A network made cheaper, by channels that go and low-rank forms, without training.

    Args:
        metric: its name.
        unit: of the metric.
        value_before: of the metric; on samples that nothing was chosen by, where there are such.
        value_after: likewise.
        samples: that these are of.
        cost: what the budget counted: "macs", "bytes", "energy" or "latency".
        cost_unit: its unit.
        cost_before: of all layers, for one sample; a latency is measured, and the whole network's.
        cost_after: likewise; a latency is the share that was measured in turns with the original, of `cost_before`.
        budget: what it may cost.
        tried: the ways that were tried, in order; their scores are those that one of them was chosen by.
        chosen: the index of the way that was taken.
        layers: what is left of those that changed, in order.
        chosen_samples: that the ways were scored on.
        confirmed: what the network differs by from the original, on samples that nothing was chosen by.
    """

    metric: str
    unit: str
    value_before: float
    value_after: float
    samples: int
    cost: str
    cost_unit: str
    cost_before: float
    cost_after: float
    budget: float
    tried: tuple[Divided, ...]
    chosen: int
    layers: tuple[LayerCompressed, ...]
    chosen_samples: int = 0
    confirmed: Compared | None = None


@dataclass(frozen=True, slots=True)
class OneCompressed:
    """One layer or one channel group made smaller, all else as it is.

    Args:
        name: the layer's path, or the group's name.
        kind: "low rank" or "channels".
        kept: the share of the layer's multiply-accumulates, or of the group's units, that is left.
        method: the low-rank form, or "" for channels.
        left: the rank, or how many units are left.
        full: the rank with which nothing would be lost, or how many units there are.
        loss: foreseen: the relative squared error of outputs, of a group summed over its readers.
        value: of the metric; None if none was measured.
        value_error: the paired standard error of its difference to the network as it is; None if that is not known.
    """

    name: str
    kind: str
    kept: float
    method: str
    left: int
    full: int
    loss: float
    value: float | None
    value_error: float | None = None


@dataclass(frozen=True, slots=True)
class CompressionSensitivity:
    """What can be made smaller: each layer and each channel group alone, at several shares.

    Args:
        metric: its name; empty if none was measured.
        unit: of the metric.
        value: of the metric for the network as it is; None if none was measured.
        samples: that were scored.
        rows: layers first, each with its smallest share first; then groups likewise.
        rank_correlation: Spearman's, between the foreseen loss and what the metric loses; None if nothing was
            measured, or one of them is the same everywhere.
    """

    metric: str
    unit: str
    value: float | None
    samples: int
    rows: tuple[OneCompressed, ...]
    rank_correlation: float | None
