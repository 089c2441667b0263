"""What was measured, as plain values: costs, errors, accuracy, agreement, latency."""

from dataclasses import dataclass, field

from microjoule.records.compared import Compared, SampleScores


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
    """A metric on data; `stage` says which network ("fp32", "naive W8A8", "data-free W8A8" ...).

    Args:
        higher_is_better: whether a larger value is the better one.
        samples_id: tells the samples, their targets and their order from others; empty if not known.
        scores: of each sample; None if the metric gives none.
        compared: with the network in floating point, or with another that was named, on the same samples.
        apart: why it is not compared with the network in floating point, although that was scored by this metric.
    """

    stage: str
    metric: str
    value: float
    unit: str
    samples: int
    data: str
    seconds: float
    higher_is_better: bool = True
    samples_id: str = ""
    scores: SampleScores | None = None
    compared: Compared | None = None
    apart: str = ""


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
        values: how many quantized values the network has, of which `layers` are those compared; 0 if not recorded.
    """

    runtime: str
    path: str
    samples: int
    layers: tuple[LayerAgreement, ...]
    first_departure: str | None
    top1_agreement: float | None
    values: int = 0


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
