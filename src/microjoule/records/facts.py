"""What a run found, as plain values: each technique returns one of these, and a report is drawn from them alone.

Every record is a frozen dataclass of numbers, texts, tuples and other records. A number's unit ends its name.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place where a technique did nothing, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """How a model became a network.

    Args:
        largest_difference: between the network's outputs and the model's, relative to the largest of these.
        replaced: where they differ, the model's operators that the network computes by others.
    """

    source: str
    operators: dict[str, int]
    functional_layers: tuple[Skipped, ...]
    unknown_operators: tuple[str, ...]
    largest_difference: float
    dynamic_batch: bool
    seconds: float
    replaced: tuple[str, ...] = ()


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
    """Which batch norms went into which layer: (batch norm, layer) by path."""

    folded: tuple[tuple[str, str], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ConstantChannelsFolded:
    """Channels that never change, moved into the readers' biases: layer path -> how many channels."""

    channels: dict[str, int]
    skipped: tuple[Skipped, ...]


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
class WeightsBalanced:
    """Layer path -> share of weights that were rounded away from the nearest integer, so that errors cancel."""

    moved: dict[str, float]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class BiasShift:
    """How far rounding moved the mean output of one layer: a value a channel, in units of its standard deviation."""

    layer: str
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BiasesCorrected:
    """Bias correction, layer by layer; `source` says where the expected inputs came from."""

    source: str
    shifts: tuple[BiasShift, ...]
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
    """Where quantizers stand; `kind` of a grid is "weight", "activation" or "input"."""

    target: str
    grids: tuple[GridPlaced, ...]
    skipped: tuple[Skipped, ...]


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
    """How activation ranges were found: `source` names the data or the statistics, `rule` the rule."""

    source: str
    rule: str
    samples: int
    ranges: tuple[RangeFound, ...]


@dataclass(frozen=True, slots=True)
class LayerError:
    """Quantization error at one value, simulated against FP32 on the same inputs."""

    name: str
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class ErrorsByLayer:
    """Where the quantization error arises: the SQNR at each quantizer, in the order of the network."""

    samples: int
    layers: tuple[LayerError, ...]
    stage: str = ""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one layer costs for one sample."""

    layer: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    weight_bytes: int
    macs: int
    bops: int
    activation_bytes: int
    energy_pj: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network costs for one sample; `stage` says which network ("fp32", "int8" ...)."""

    stage: str
    layers: tuple[LayerCost, ...]
    parameters: int
    weight_bytes: int
    macs: int
    bops: int
    activation_bytes: int
    peak_bytes: int
    energy_pj: float
    energy_table: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A metric on data; `stage` says which network ("fp32", "naive W8A8", "data-free W8A8" ...)."""

    stage: str
    metric: str
    value: float
    unit: str
    samples: int
    data: str
    seconds: float
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and what stands in it; `stage` as in `Evaluated`."""

    path: str
    format: str
    size_bytes: int
    operators: dict[str, int]
    notes: tuple[str, ...]
    stage: str = ""


@dataclass(frozen=True, slots=True)
class LayerAgreement:
    """Simulated against deployed at one value: differences in steps of its grid."""

    name: str
    largest_steps: int
    equal_share: float
    within_one_step_share: float
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Verified:
    """One runtime compared with the simulation.

    Args:
        runtime: "onnxruntime 1.x" or "integer runner".
        layers: every quantized value that both have, in the order of the network.
        first_departure: the first layer where under 99.9 % of the values are within one step; None if there is none.
        top1_agreement: share of samples whose largest output is the same; None if outputs are not scores of classes.
    """

    runtime: str
    path: str
    samples: int
    layers: tuple[LayerAgreement, ...]
    first_departure: str | None
    top1_agreement: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what a run was made."""

    processor: str
    cores: int
    system: str
    python: str
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """Latency, size and memory of a model file in a process of its own; `stage` as in `Evaluated`."""

    path: str
    runtime: str
    threads: int
    batch: int
    runs: int
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    size_bytes: int
    peak_memory_bytes: int
    machine: Machine
    stage: str = ""


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
    | Equalized
    | HighBiasesAbsorbed
    | WeightsClipped
    | WeightsBalanced
    | BiasesCorrected
    | Placed
    | Calibrated
    | ErrorsByLayer
    | Costs
    | Evaluated
    | Exported
    | Verified
    | Measured
    | Run
)
"""Any record that a network's history can hold."""
