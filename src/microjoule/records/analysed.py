"""What was analysed, as plain values: what hurts, and by how much."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What one quantizer alone does to the output, all others switched off.

    Args:
        name: the layer's path for a weight, the quantizer's name for an activation.
        kind: "weight" or "activation".
        layer: path of the layer that holds the weight or makes the value; empty if no layer does.
        bits: of the grid.
        value: of the metric; None if none was asked for.
        sqnr_db: of the outputs; None if it was not measured.
        kl: mean KL divergence from the classes' probabilities in FP32, in nats; None if it was not measured, or the
            outputs are no scores of classes.
        proxy: its estimate from gradients, in nats; half the squared error of the output, if that has no classes.
        value_error: the paired standard error of the value's difference to FP32; None if that is not known.
    """

    name: str
    kind: str
    layer: str
    bits: int
    value: float | None
    sqnr_db: float | None
    kl: float | None
    proxy: float | None
    value_error: float | None = None


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """What hurts: every quantizer alone, at several widths.

    Args:
        metric: its name; empty if none was asked for.
        fp_value: of the metric in FP32; None if none was asked for.
        rows: in the order of the network.
        rank_correlation: Spearman's, between the proxy and the KL (where there is none, the noise of the outputs);
            None if nothing was measured, or one of them is the same everywhere.
    """

    metric: str
    unit: str
    fp_value: float | None
    samples: int
    rows: tuple[Sensitivity, ...]
    rank_correlation: float | None


@dataclass(frozen=True, slots=True)
class GridHistogram:
    """The values that a quantizer reads, in steps of its grid.

    Args:
        name: the layer's path for a weight, the quantizer's name for an activation.
        kind: "weight" or "activation".
        bits: of the grid.
        low: the grid's smallest integer.
        high: its largest.
        width: steps in a bin.
        start: the integer that the first bin begins with; both ends of the row hold what lies beyond, too.
        shares: of all values, for each bin.
        clipped: share of the values that lie outside the grid, by more than half a step.
    """

    name: str
    kind: str
    bits: int
    low: int
    high: int
    width: int
    start: int
    shares: tuple[float, ...]
    clipped: float


@dataclass(frozen=True, slots=True)
class GridHistograms:
    """Weights and activations against their grids, in the order of the network."""

    samples: int
    quantizers: tuple[GridHistogram, ...]
