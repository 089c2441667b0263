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
class OperatorMacs:
    """One operator of a runtime's own graph that multiplies and adds.

    Args:
        layer: the weight that it reads, by its name in the file, or the operator's own name.
        operator: what the runtime runs, as "QLinearConv".
        macs: multiply-accumulates for one sample.
        integer: whether its kernel computes with integers.
        reason: why it does not; empty if it does.
    """

    layer: str
    operator: str
    macs: int
    integer: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IntegerShare:
    """What of a file a runtime computes with integers, seen in the graph that it made of the file.

    Args:
        nodes: of that graph.
        quantizers: QuantizeLinear and DynamicQuantizeLinear that are left in it.
        dequantizers: DequantizeLinear that are left in it.
    """

    path: str
    runtime: str
    operators: tuple[OperatorMacs, ...]
    nodes: int
    quantizers: int
    dequantizers: int

    @property
    def macs(self) -> int:
        """Of all operators, for one sample."""
        return sum(one.macs for one in self.operators)

    @property
    def integer_macs(self) -> int:
        """Of those that compute with integers."""
        return sum(one.macs for one in self.operators if one.integer)

    @property
    def share(self) -> float:
        """Of the multiply-accumulates, in integers; 1 where there are none."""
        return self.integer_macs / self.macs if self.macs else 1.0


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and what stands in it; `stage` as in `Evaluated`.

    Args:
        integers: of a file with integers inside what ONNX Runtime computes with them.
    """

    path: str
    format: str
    size_bytes: int
    operators: dict[str, int]
    notes: tuple[str, ...]
    stage: str = ""
    integers: IntegerShare | None = None


@dataclass(frozen=True, slots=True)
class LayerAgreement:
    """Simulated against deployed at one value: differences in steps of its grid.

    Args:
        name: of the value.
        largest_steps: the largest difference.
        equal_share: of the values that are the same integer.
        within_one_step_share: of those that are at most a step apart.
        sqnr_db: the simulated integers, counted from the zero point, against the differences.
        rounding_steps: how many steps float32's rounding alone moves the value; asked where it departs, else 0.
    """

    name: str
    largest_steps: int
    equal_share: float
    within_one_step_share: float
    sqnr_db: float
    rounding_steps: float = 0.0


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """One output from end to end: deployed against simulated and against floating point, simulated against that.

    Args:
        name: of the output.
        sqnr_db: deployed against simulated; None for an output of integers or truths.
        fp32_sqnr_db: deployed against floating point.
        simulated_fp32_sqnr_db: simulated against floating point.
        equal_share: entries that are the same, deployed and simulated; of real outputs None, as is the next.
        fp32_equal_share: entries that are the same, deployed and in floating point.
        worst_sample: the sample, counted from 0, at which deployed and simulated are furthest apart; None if they are
            the same everywhere, or the output has no entry for each sample.
        worst_db: the SQNR there, or the share of equal entries for integers.
        worst_fp32_sample: the sample at which deployed and floating point are furthest apart.
        worst_fp32_db: the SQNR there, or the share of equal entries for integers.
    """

    name: str
    sqnr_db: float | None
    fp32_sqnr_db: float | None
    simulated_fp32_sqnr_db: float | None
    equal_share: float | None = None
    fp32_equal_share: float | None = None
    worst_sample: int | None = None
    worst_db: float | None = None
    worst_fp32_sample: int | None = None
    worst_fp32_db: float | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """One runtime compared with the simulation, value by value and from end to end.

    Args:
        runtime: "onnxruntime 1.x" or "integer runner".
        path: of the file that it ran; empty for the integer runner, which runs the network and no file.
        layers: every quantized value that both have, in the order of the network.
        first_departure: the first layer where under 99.9 % of the values are within one step; None if there is none.
        top1_agreement: share of samples whose largest output is the same; None if outputs are not scores of classes.
        values: how many quantized values the network has, of which `layers` are those compared; 0 if not recorded.
        compared: what was compared with what, in words.
        reference: what floating point means in `outputs`, in words.
        outputs: every output.
        batch_sizes: the numbers of samples that were run at once.
        problems: why it fails, in words; empty if it passes.
        integers: what the runtime computes with integers, where it tells.
    """

    runtime: str
    path: str
    samples: int
    layers: tuple[LayerAgreement, ...]
    first_departure: str | None
    top1_agreement: float | None
    values: int = 0
    compared: str = ""
    reference: str = ""
    outputs: tuple[OutputAgreement, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    integers: IntegerShare | None = None

    @property
    def passed(self) -> bool:
        """Whether no layer departs and every output is as near as was asked."""
        return self.first_departure is None and not self.problems


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
