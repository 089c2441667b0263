"""What a run found, as plain values: each technique returns one of these, and a report is drawn from them alone.

Every record is a frozen dataclass of numbers, texts, tuples and other records. A number's unit ends its name.
"""

from dataclasses import dataclass, field

from microjoule.records.analysed import GridHistograms, Sensitivities
from microjoule.records.captured import Captured as Captured  # noqa: PLC0414 - exported from here, too
from microjoule.records.compressed import Compressed, CompressionSensitivity, Factorized, LatencyModelled
from microjoule.records.decided import MixedPrecision, ParetoFront, Reached, Tried
from microjoule.records.learned import BayesianPruned
from microjoule.records.measured import Costs, ErrorsByLayer, Evaluated, Exported, Machine, Measured, Verified
from microjoule.records.noticed import Noticed
from microjoule.records.pruned import ChannelsRemoved
from microjoule.records.rounded import Frozen, TiesAvoided, WeightsBalanced, WeightsRounded
from microjoule.records.scheduled import RanInOrder, Scheduled
from microjoule.records.skipped import Skipped as Skipped  # noqa: PLC0414 - exported from here, too
from microjoule.records.trained import Trained


@dataclass(frozen=True, slots=True)
class Spread:
    """The five numbers of a box plot of one channel's weights or values."""

    low: float
    lower_quartile: float
    median: float
    upper_quartile: float
    high: float


@dataclass(frozen=True, slots=True)
class WeightRanges:
    """The spread of the weights of each output channel of each layer, at one stage of a recipe."""

    stage: str
    layers: dict[str, tuple[Spread, ...]]


@dataclass(frozen=True, slots=True)
class BatchNormsFolded:
    """Which batch norms went into which layer: (batch norm, layer) by path.

    Args:
        skipped: batch norms that stayed, with the reason.
        layers: those that are a layer by themselves now, with the reason why no other took them.
    """

    folded: tuple[tuple[str, str], ...]
    skipped: tuple[Skipped, ...]
    layers: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class ConstantChannelsFolded:
    """Channels that never change, moved into the readers' biases: layer path -> how many channels."""

    channels: dict[str, int]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ConcatenationsSplit:
    """Convolutions of concatenations, each as one convolution a branch: layer path -> the values that the parts read.

    Args:
        added: layers whose parts are added up.
        joined: grouped ones, whose parts are concatenated.
        skipped: layers that stayed as they were.
    """

    added: dict[str, tuple[str, ...]]
    joined: dict[str, tuple[str, ...]]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class StatisticsObserved:
    """Layers whose outputs' statistics came from data, `source`, as no batch norm told them."""

    source: str
    samples: int
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Equalized:
    """Scales by which channels were divided (and multiplied back by their readers).

    Args:
        groups: for each group of layers ("a -> b" or "a -> b -> c") the smallest and largest total scale.
        sweeps: sweeps until the scales settled.
        largest_change: the largest relative change in the last sweep.
        capped: layers after which a cap (ReLU6) is now one number a channel.
    """

    groups: dict[str, tuple[float, float]]
    sweeps: int
    largest_change: float
    capped: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class NoiseEqualized:
    """Equalization for the least noise.

    Args:
        groups: as in `Equalized`.
        noise_before: that quantization adds to the layers' outputs: its power relative to theirs, summed over layers.
        noise_after: the same with the new scales.
        capped: activations whose caps are now one a channel.
    """

    groups: dict[str, tuple[float, float]]
    noise_before: float
    noise_after: float
    capped: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Smoothed:
    """What is uneven in activations, moved into the weights that read them; `source` names the data.

    Args:
        alpha: how much was moved: 0 evens the weights alone, 1 the activations alone.
        groups: for each norm or layer and its readers ("a -> b, c") the smallest and largest scale.
    """

    source: str
    samples: int
    alpha: float
    groups: dict[str, tuple[float, float]]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class HighBiasesAbsorbed:
    """Layer path -> the largest bias that was moved into its readers."""

    layers: dict[str, float]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class WeightsClipped:
    """Layer path -> share of the range that was kept (1 = nothing clipped)."""

    kept: dict[str, float]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class BiasShift:
    """How far rounding moved the mean output of one layer: a value a channel, in units of its standard deviation.

    Args:
        before: bias correction.
        after: it, as measured; empty where there was no data to measure on, and `before` is what statistics expect.
    """

    layer: str
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BiasesCorrected:
    """Bias correction, layer by layer; `source` says where the expected inputs came from.

    Args:
        measured_on: the data on which the shifts were measured; empty if they were not.
    """

    source: str
    shifts: tuple[BiasShift, ...]
    skipped: tuple[Skipped, ...]
    measured_on: str = ""


@dataclass(frozen=True, slots=True)
class LayerReconstructed:
    """One layer fitted to its outputs in floating point: mean squared errors over the outputs' variance."""

    layer: str
    error_before: float
    error_after: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """Weights rounded so that each layer's outputs are near those in floating point; `method` says how."""

    method: str
    source: str
    samples: int
    seed: int
    layers: tuple[LayerReconstructed, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class GridPlaced:
    """One quantizer: which value or weight it stands on, and its grid.

    Args:
        layer: path of the layer that holds the weight or makes the value; empty if no layer does.
    """

    name: str
    value: str
    kind: str
    bits: int
    signed: bool
    symmetric: bool
    scales: int
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where quantizers stand; `kind` of a grid is "weight", "activation", "input" or "stored" (a stored operand).

    Args:
        skipped: what has multiply-accumulates and does not run in integer, and why.
        replaced: operators that others stand in for, which the target runs in integer, and how often.
        opset: of files for the target; None if not recorded.
        accumulator_bits: that the target has for a sum.
    """

    target: str
    grids: tuple[GridPlaced, ...]
    skipped: tuple[Skipped, ...]
    replaced: dict[str, int] = field(default_factory=dict)
    opset: int | None = None
    accumulator_bits: int = 32


@dataclass(frozen=True, slots=True)
class RangeFound:
    """The range of one activation quantizer, and what was seen there."""

    name: str
    low: float
    high: float
    seen_low: float
    seen_high: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How activation ranges were found: `source` names the data or the statistics, `rule` the rule.

    Args:
        skipped: values whose range is a guess, or which stay in floating point after all, and why.
    """

    source: str
    rule: str
    samples: int
    ranges: tuple[RangeFound, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """How a recipe was run, so that it can be run again."""

    recipe: str
    settings: dict[str, str]
    seed: int | None
    seconds: float
    machine: Machine


Record = (
    Captured
    | WeightRanges
    | BatchNormsFolded
    | ConstantChannelsFolded
    | ConcatenationsSplit
    | ChannelsRemoved
    | Factorized
    | LatencyModelled
    | Compressed
    | CompressionSensitivity
    | StatisticsObserved
    | Equalized
    | NoiseEqualized
    | Smoothed
    | HighBiasesAbsorbed
    | WeightsClipped
    | TiesAvoided
    | WeightsBalanced
    | WeightsRounded
    | BiasesCorrected
    | Reconstructed
    | Trained
    | BayesianPruned
    | Placed
    | Calibrated
    | Frozen
    | ErrorsByLayer
    | GridHistograms
    | Sensitivities
    | Tried
    | Reached
    | MixedPrecision
    | ParetoFront
    | Scheduled
    | RanInOrder
    | Costs
    | Evaluated
    | Exported
    | Verified
    | Measured
    | Noticed
    | Run
)
"""Any record that a network's history can hold."""
