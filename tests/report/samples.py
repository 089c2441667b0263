"""A record set as a run on a MobileNetV2-like network leaves it: made up, with the shapes and habits of real ones."""

import math
import random
import statistics

from microjoule.records.analysed import GridHistogram, GridHistograms, Sensitivities, Sensitivity
from microjoule.records.compared import Compared
from microjoule.records.compressed import (
    Compressed,
    CompressionSensitivity,
    Divided,
    Factorized,
    LatencyModelled,
    LayerCompressed,
    LayerFactorized,
    OneCompressed,
)
from microjoule.records.decided import FrontPoint, MixedPrecision, ParetoFront, Reached, Tried
from microjoule.records.facts import (
    BatchNormsFolded,
    BiasesCorrected,
    BiasShift,
    Calibrated,
    Captured,
    ConcatenationsSplit,
    ConstantChannelsFolded,
    Equalized,
    GridPlaced,
    HighBiasesAbsorbed,
    LayerReconstructed,
    NoiseEqualized,
    Placed,
    RangeFound,
    Reconstructed,
    Record,
    Run,
    Skipped,
    Smoothed,
    Spread,
    StatisticsObserved,
    WeightRanges,
    WeightsClipped,
)
from microjoule.records.learned import BayesianPruned
from microjoule.records.measured import (
    Costs,
    ErrorsByLayer,
    Evaluated,
    Exported,
    IntegerShare,
    LayerAgreement,
    LayerCost,
    LayerError,
    Machine,
    Measured,
    OperatorMacs,
    OutputAgreement,
    Verified,
)
from microjoule.records.noticed import Noticed
from microjoule.records.pruned import ChannelsRemoved
from microjoule.records.rounded import Frozen, TiesAvoided, WeightsBalanced, WeightsRounded
from microjoule.records.scheduled import Demand, Held, MemoryUse, Moment, Placement, RanInOrder, Scheduled
from microjoule.records.trained import Trained

MACHINE = Machine(
    "AMD EPYC 9B14", 2, "Linux-6.1.0-x86_64-with-glibc2.36", "3.11.9", {"torch": "2.13.0", "onnxruntime": "1.31.1"}
)


def compared(
    difference: float,
    error: float,
    counts: tuple[int, int],
    interval: tuple[float, float],
    *,
    stage: str,
    needed: int | None = None,
    samples: int = 650,
) -> Compared:
    """A difference to FP32 in per cent; `counts` are the samples won and lost."""
    facts = ("Top-1 accuracy", "%", stage, "fp32", 79.69 + difference, 79.69, difference, error, *interval, *counts)
    return Compared(*facts, 0.5, samples, needed, "paired by sample")


def layer_names() -> list[tuple[str, str, int]]:
    """(path, kind, output channels) of twenty layers."""
    names = [("stem.conv", "conv", 32)]
    for block, channels in enumerate((16, 24, 24, 32, 64, 96), start=1):
        names.append((f"blocks.{block}.expand.conv", "conv", channels * 4))
        names.append((f"blocks.{block}.depthwise.conv", "depthwise conv", channels * 4))
        names.append((f"blocks.{block}.project.conv", "conv", channels))
    return [*names, ("classifier", "linear", 100)]


def spreads(rng: random.Random, channels: int, imbalance: float) -> tuple[Spread, ...]:
    """Channels whose ranges are spread log-normally."""
    found = []
    for _ in range(channels):
        scale = 0.2 * math.exp(rng.gauss(0, imbalance))
        values = sorted(rng.gauss(rng.gauss(0, 0.2), 1) * scale for _ in range(9))
        quartiles = statistics.quantiles(values, n=4)
        found.append(Spread(values[0], quartiles[0], quartiles[1], quartiles[2], values[-1]))
    return tuple(found)


def costs(stage: str, bits: int) -> Costs:
    """Costs that shrink with the number of bits."""
    rng = random.Random(3)
    layers = []
    for index, (path, kind, channels) in enumerate(layer_names()):
        macs = int(rng.uniform(2e6, 3e7) / (8 if "depth" in kind else 1))
        parameters = channels * (9 if "depth" in kind else 60 + 12 * index)
        side = 112 >> (index // 5)
        energy = macs * (0.23 if bits == 8 else 4.6) + parameters * bits / 8 * 20
        shape = (channels,) if kind == "linear" else (channels, side, side)
        held = math.prod(shape) * bits // 8
        layers.append(
            LayerCost(path, kind, shape, parameters, parameters * bits // 8, macs, macs * bits * bits, held, energy)
        )

    def total(name: str) -> int:
        return sum(getattr(layer, name) for layer in layers)

    energy = math.fsum(layer.energy_pj for layer in layers)
    sums = [total(name) for name in ("parameters", "weight_bytes", "macs", "bops", "activation_bytes")]
    return Costs(stage, tuple(layers), *sums, max(layer.activation_bytes for layer in layers), energy, "horowitz-45nm")


def placed() -> Placed:
    """A weight grid and an activation grid for each layer."""
    grids = [GridPlaced("quantizers.input", "input", "input", 8, False, False, 1)]
    for path, _, channels in layer_names():
        value = path.replace(".", "_")
        grids.append(GridPlaced(f"{path}.weight", f"{path}.weight", "weight", 8, True, True, channels, path))
        grids.append(GridPlaced(f"quantizers.{value}", value, "activation", 8, False, False, 1, path))
    skipped = (Skipped("softmax", "the target computes it in floating point"),)
    return Placed("onnxruntime", tuple(grids), skipped, {"silu": 7}, 32)


def steps_taken() -> list[Record]:
    """What data-free quantization did."""
    rng = random.Random(5)
    names = layer_names()
    raw = {path: spreads(rng, n, 1.25 if "depth" in kind else 0.55) for path, kind, n in names}
    even = {path: spreads(rng, n, 0.12) for path, kind, n in names}
    shifts = tuple(
        BiasShift(
            path,
            tuple(rng.gauss(0, 0.3 if "depth" in kind else 0.1) for _ in range(n)),
            tuple(rng.gauss(0, 0.012) for _ in range(n)),
        )
        for path, kind, n in names
    )
    groups = {
        f"{names[i][0]} -> {names[i + 1][0]} -> {names[i + 2][0]}": (0.031 * i, 11.0 / i) for i in range(1, 19, 3)
    }
    lows = [(rng.uniform(-3, 0) if "project" in path else 0.0, rng.uniform(2, 6)) for path, _, _ in names]
    ranges = tuple(
        RangeFound(f"quantizers.{path.replace('.', '_')}", low, high, low * 1.1, high * rng.uniform(0.8, 1.25))
        for (path, _, _), (low, high) in zip(names, lows, strict=True)
    )
    relu6 = Skipped("blocks.6.project.conv -> classifier", "a mean over positions is between them, and a dropout")
    return [
        Captured("tests.MobileNet", {"conv": 19, "linear": 1, "relu6": 13}, (), ("aten.bucketize",), 0.0, True, 1.3),
        BatchNormsFolded(tuple((p.replace("conv", "bn"), p) for p, _, _ in names[:-1]), ()),
        ConstantChannelsFolded({"blocks.1.expand.conv": 7, "blocks.2.expand.conv": 3}, ()),
        ConcatenationsSplit(
            {"cell.join": ("left", "right")},
            {"cell.depthwise": ("left", "middle", "right")},
            (Skipped("classifier", "it reads no concatenation"),),
        ),
        Factorized(
            *("photos", 48),
            (
                LayerFactorized("cell.join", "spatial", (12,), (48,), 903_168, 401_408, 0.031),
                LayerFactorized("classifier", "tucker", (9, 12), (16, 24), 12_000, 5_000, 0.0),
            ),
            (Skipped("cell.depthwise", "it is grouped: each of its 24 groups is a matrix of its own"),),
        ),
        ChannelsRemoved({names[0][0]: (32, 24)}, {names[0][0]: (32, 24)}, 45_098, 41_207),
        WeightRanges("before equalization", raw),
        Equalized(groups, 14, 8.2e-5, ("stem.conv",), (relu6,)),
        StatisticsObserved("photos", 48, ("classifier",)),
        NoiseEqualized(groups, 3.21, 0.043, ("stem.conv",), ()),
        Smoothed("photos", 48, 0.5, {"norm -> classifier": (0.21, 9.4)}, (Skipped("norm1", "add (add_1) reads it"),)),
        HighBiasesAbsorbed({"blocks.1.expand.conv": 0.83}, (Skipped("stem.conv", "no bias over three deviations"),)),
        WeightsClipped({"classifier": 0.91}, ()),
        bayesian_pruned(),
        trained(),
        WeightRanges("after equalization", even),
        placed(),
        TiesAvoided({"classifier": 0.0031, "blocks_1_add": -0.0012}, ()),
        WeightsBalanced({"classifier": 0.08}, ()),
        WeightsRounded("stochastic", {"stem.conv": 0.26}, 7, (Skipped("classifier", "not chosen by the caller"),)),
        BiasesCorrected("batch-norm statistics", shifts, (), "16 samples of generated noise"),
        Reconstructed("AdaRound", "images", 300, 0, (LayerReconstructed("classifier", 0.12, 0.034, 1.5),), ()),
        Calibrated("batch-norm statistics", "mean ± 6 deviations", 0, ranges, (Skipped("dead", "it is 0"),)),
        Frozen({"stem.conv": 1}, {"blocks.1.expand.conv": 3}, 32, {"classifier": 35}),
    ]


NAIVE = compared(-78.0, 1.63, (0, 507), (-81.15, -74.61), stage="naive W8A8", needed=2)
GOOD = compared(-0.46, 0.70, (9, 12), (-1.90, 0.98), stage="data-free W8A8", needed=6084)
CONFIRMED = compared(-0.62, 0.71, (8, 12), (-2.04, 0.81), stage="data-free W8A8", needed=3400)


def found() -> list[Record]:
    """What evaluation, export and measurement found."""
    rng = random.Random(7)
    values = [f"quantizers.{path.replace('.', '_')}" for path, _, _ in layer_names()]
    naive = tuple(LayerError(name, max(0.4, 24 - 2.1 * i + rng.gauss(0, 1))) for i, name in enumerate(values))
    good = tuple(LayerError(name, 33 - 0.4 * i + rng.gauss(0, 1.2)) for i, name in enumerate(values))
    agreement = tuple(
        LayerAgreement(name, 1, 0.9995 - 0.0008 * i * rng.random(), 1 - 2e-5 * rng.random(), 58.0)
        for i, name in enumerate(values)
    )
    data = "imagenet_val650_dev"
    return [
        Noticed("input range", "x", "is taken from the example inputs, 0 to 1", "give input_range=(low, high)"),
        ErrorsByLayer(64, naive, "naive W8A8"),
        ErrorsByLayer(64, good, "data-free W8A8"),
        histograms(),
        sensitivities(),
        Tried("naive", (8,), (8,), 1.69, 78.0, 3.1e8, 4.2, ""),
        reached(),
        mixed_precision(),
        pareto_front(),
        latency_modelled(),
        compressed(),
        compression_sensitivity(),
        scheduled(),
        ran_in_order(),
        costs("fp32", 32),
        costs("data-free W8A8", 8),
        Evaluated("fp32", "Top-1 accuracy", 79.69, "%", 650, data, 24.1),
        Evaluated("naive W8A8", "Top-1 accuracy", 1.69, "%", 650, data, 31.0, compared=NAIVE),
        Evaluated("data-free W8A8", "Top-1 accuracy", 79.23, "%", 650, data, 31.4, compared=GOOD),
        Evaluated("data-free W4A8", "Top-1 accuracy", 71.54, "%", 650, data, 31.2),
        Exported("model.fp32.onnx", "ONNX", 13_960_120, {"Conv": 19, "Gemm": 1, "Clip": 13}, (), "fp32"),
        Exported(
            "model.int8.onnx",
            "ONNX QDQ",
            3_655_204,
            {"QuantizeLinear": 34, "DequantizeLinear": 74, "Conv": 19, "Gemm": 1},
            ("int32 biases",),
            "data-free W8A8",
            integer_share(),
        ),
        verified(agreement),
        Measured(
            "model.fp32.onnx", "onnxruntime", 2, 1, 200, 11.32, 11.1, 12.05, 13_960_120, 96_000_000, MACHINE, "fp32"
        ),
        Measured("model.int8.onnx", "onnxruntime", 2, 1, 200, 4.87, 4.8, 5.2, 3_655_204, 61_000_000, MACHINE),
        Run("data_free", {"target": "onnxruntime", "weights": "8", "activations": "8"}, 0, 12.4, MACHINE),
    ]


def integer_share() -> IntegerShare:
    """Two layers in integers, two in floating point."""
    operators = (
        OperatorMacs("stem.conv", "QLinearConv", 30_000, True),
        OperatorMacs("blocks.0", "QLinearConv", 14_000, True),
        OperatorMacs("up", "ConvTranspose", 900, False, "ONNX Runtime has no integer kernel for ConvTranspose"),
        OperatorMacs("head", "Gemm", 100, False, "its weight is not quantized"),
    )
    return IntegerShare("model.int8.onnx", "onnxruntime 1.31.1", operators, 40, 2, 1)


def verified(layers: tuple[LayerAgreement, ...]) -> Verified:
    """A file with two outputs, of which one has entries that are integers."""
    return Verified(
        runtime="onnxruntime 1.31.1",
        path="model.int8.onnx",
        samples=64,
        layers=layers,
        first_departure=None,
        top1_agreement=0.9985,
        compared="model.int8.onnx in ONNX Runtime against the simulation",
        reference="the network with its quantizers off",
        outputs=(
            OutputAgreement("scores", 41.25, 31.5, 32.0, None, None, 17, 25.3, 4, 22.0),
            OutputAgreement("classes", None, None, None, 0.9999, 0.97, 17, 0.99, 4, 0.9),
        ),
        batch_sizes=(7, 8),
    )


def histograms() -> GridHistograms:
    """A weight and an activation of 4 bits, of which the activation is clipped."""
    bell = [math.exp(-(((number - 15) / 5) ** 2)) for number in range(32)]
    weight = GridHistogram("stem.conv", "weight", 4, -7, 7, 1, -15, tuple(b / sum(bell) for b in bell), 0.004)
    ramp = [0.0] * 8 + [1 / 24] * 24
    activation = GridHistogram("quantizers.stem_conv", "activation", 4, 0, 15, 1, -8, tuple(ramp), 1 / 3)
    return GridHistograms(32, (weight, activation))


def sensitivities() -> Sensitivities:
    """Each quantizer alone at 4 and 8 bits; a depthwise layer is the worst."""
    rng = random.Random(11)
    rows = []
    for path, kind, _ in layer_names():
        hurt = 10 ** rng.uniform(-3, -1) * (8 if "depth" in kind else 1)
        for name, what in ((path, "weight"), (f"quantizers.{path.replace('.', '_')}", "activation")):
            for bits, kl in ((4, hurt), (8, hurt / 200)):
                decibel, estimate = 12 - 10 * math.log10(kl), kl * rng.uniform(0.7, 1.4)
                rows.append(Sensitivity(name, what, path, bits, 79.7 - 40 * kl, decibel, kl, estimate, 0.5))
    return Sensitivities("Top-1 accuracy", "%", 79.69, 64, tuple(rows), 0.973)


def reached() -> Reached:
    """A search that ended at its second attempt; the first could be made, too."""
    attempts = (
        Tried("naive", (8,), (8,), 1.69, 78.0, 3.1e8, 4.2, "drops 77.00 points too much", NAIVE),
        Tried("data-free", (8,), (8,), 79.23, 0.46, 3.1e8, 12.4, "within the drop that is allowed, as measured", GOOD),
    )
    why = "data-free is the first within the drop, of 2 attempts"
    facts = ("Top-1 accuracy", "%", 79.69, 650, 1.0, "onnxruntime", "energy", "pJ", 1.9e9)
    return Reached(*facts, attempts, "data-free", True, why, CONFIRMED, 8900)


def mixed_precision() -> MixedPrecision:
    """Bits for three layers, within a budget."""
    bits = {"stem": 8, "block.0": 4, "block.1": 4}
    values = {"x": 8, "stem": 8, "block.0": 8, "block.1": 16}
    return MixedPrecision(
        "onnxruntime", "bops", "BOPs", 1e10, 9.7e9, 0.0123, 0.0123, 0.0145, 64, weights=bits, activations=values
    )


def bayesian_pruned() -> BayesianPruned:
    """Eight units of twenty are left, and 88 inputs of 800."""
    return BayesianPruned(
        method="normal_jeffreys",
        data="photos",
        epochs=2,
        strength=1.0,
        threshold=0.0,
        units={"stem.conv": (20, 8)},
        inputs={"classifier": (800, 88)},
        parameters_before=4000,
        parameters_after=400,
        bits={"classifier": 9},
        size_bits=4000,
        seed=3,
        seconds=125.0,
    )


def trained() -> Trained:
    """Two epochs with a teacher."""
    return Trained(
        data="photos",
        samples=1000,
        epochs=2,
        steps=64,
        losses=(1.25, 0.5),
        metric="top1",
        unit="%",
        values=(70.25, 71.5),
        optimizer="sgd",
        learning_rate=0.05,
        seed=3,
        teacher=True,
        averaged=True,
        seconds=125.0,
    )


def pareto_front() -> ParetoFront:
    """Three budgets, of which one is beaten."""
    points = (
        FrontPoint("W4A8", 9.6e9, 0.02, 78.92, True, compared(-0.77, 0.8, (9, 14), (-2.4, 0.9), stage="W4A8")),
        FrontPoint("1.2e10", 1.2e10, 0.01, 78.77, False),
        FrontPoint("W8A8", 1.9e10, 0.001, 79.54, True, compared(-0.15, 0.2, (0, 1), (-0.7, 0.4), stage="W8A8")),
    )
    return ParetoFront("Top-1 accuracy", "%", 79.69, 650, "bops", "BOPs", points)


def compressed() -> Compressed:
    """Half the work left: one layer with fewer channels, one in low-rank form, one both; two ways were tried."""
    ways = (Divided(1.0, 0.25, 0.3, 4.9e6, 74.5), Divided(0.7, 0.125, 0.15, 5e6, 76.25))
    layers = (
        LayerCompressed("stem.conv", (3, 32), (3, 24), "", (), 2e6, 1.5e6),
        LayerCompressed("block.0", (32, 64), (24, 64), "spatial", (12,), 4e6, 1e6),
        LayerCompressed("head", (64, 1000), (64, 1000), "output", (40,), 4e6, 2.5e6),
    )
    facts = ("Top-1 accuracy", "%", 79.69, 75.69, 650, "macs", "MACs", 1e7, 5e6, 5e6)
    found = compared(-4.0, 1.1, (12, 38), (-6.2, -1.8), stage="compressed")
    return Compressed(*facts, ways, 1, layers, 120, found)


def latency_modelled() -> LatencyModelled:
    """A network of 2 ms, a tenth of which no layer has."""
    factors = {"kernel products": 2.5e-8, "layers": 0.0125, "values read": 0.0}
    return LatencyModelled(2.0, 0.2, factors, 24, 0.08, "ONNX Runtime, one thread")


def compression_sensitivity() -> CompressionSensitivity:
    """Two layers and a channel group, each at two shares."""
    rows = (
        OneCompressed("stem.conv", "low rank", 0.3, "spatial", 2, 9, 0.5, 60.0, 1.25),
        OneCompressed("stem.conv", "low rank", 0.6, "spatial", 4, 9, 0.125, 75.0),
        OneCompressed("head", "low rank", 0.25, "output", 16, 64, 0.0625, 78.5),
        OneCompressed("block.0", "channels", 0.5, "", 32, 64, 0.25, 70.0),
        OneCompressed("block.0", "channels", 0.75, "", 48, 64, 0.0, 79.0),
    )
    return CompressionSensitivity("Top-1 accuracy", "%", 79.69, 650, rows, 0.975)


def scheduled() -> Scheduled:
    """Two branches that grow and shrink: side by side, and one after the other."""
    sizes = {"x": 1024, "grow_a": 4096, "grow_b": 2048, "shrink_a": 512, "shrink_b": 512}

    def use(operators: str, used: tuple[int, ...], at: int, live: str) -> MemoryUse:
        moments = tuple(Moment(name, size) for name, size in zip(operators.split(), used, strict=True))
        return MemoryUse(max(used), moments, demand(moments[at].operator, live))

    def demand(operator: str, live: str) -> Demand:
        held = tuple(Held(name, sizes[name]) for name in live.split())
        return Demand(operator, sum(one.size_bytes for one in held), held)

    before = use(
        "grow_a grow_b shrink_a shrink_b cat", (5120, 7168, 7680, 4096, 4096), at=2, live="x grow_a grow_b shrink_a"
    )
    after = use("grow_a shrink_a grow_b shrink_b cat", (5120, 5632, 3584, 4096, 4096), at=1, live="x grow_a shrink_a")
    arena = (
        Placement(("x",), 0, 5, 0, 1024),
        Placement(("grow_a",), 0, 2, 1536, 4096),
        Placement(("shrink_a",), 1, 5, 1024, 512),
        Placement(("grow_b",), 2, 4, 2048, 2048),
        Placement(("shrink_b",), 3, 5, 1536, 512),
        Placement(("cat",), 4, 5, 2048, 2048),
    )
    limit = demand("shrink_a", "x grow_a shrink_a")
    return Scheduled("as deployed", before, after, 5632, 12, 0.021, limit, 5632, 5632, arena)


def ran_in_order() -> RanInOrder:
    """ONNX Runtime, which does as it was told."""
    return RanInOrder("ONNX Runtime", 4, True, True, 7680, 5632, 5632, "The arena holds what the nodes make.")


def records() -> list[Record]:
    """The whole history."""
    return [*steps_taken(), *found()]
