"""What simulating costs: a quantized forward pass, calibration and the recipe, against FP32 in the same process."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2
from microjoule.execution.batches import batches
from microjoule.execution.run import run

BATCH = 8
ROUNDS = 15
INPUT_RANGE = (-1.0, 1.0)


def figures(data: Path) -> Iterator[Figure]:
    """Ratios to the folded FP32 pass (batch 8, 224 x 224), and the seconds of the recipe."""
    x = torch.rand(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    module = mj.zoo.load(MOBILENET_V2, data=data)
    began = time.perf_counter()
    network = mj.capture(module, x[:1])
    quantized = mj.recipes.data_free(network, target="per-tensor", input_range=INPUT_RANGE)
    seconds = time.perf_counter() - began
    yield Figure("MobileNetV2 capture and data-free recipe", seconds, "s", "<= 15", "one scale a tensor, 8 bit")
    default = mj.recipes.data_free(network, input_range=INPUT_RANGE)
    mj.fold_batch_norms(network)
    yield _forward("eager", network, default, x, "<= 1.8")
    yield _forward("eager, one scale a tensor, caps a channel", network, quantized, x, None)
    yield _compiled(network, default, x)
    yield _calibration(network)


def _forward(words: str, network: mj.Network, quantized: mj.Network, x: Tensor, goal: str | None) -> Figure:
    ratio, times = _ratio(lambda: run(quantized, (x,)), lambda: run(network, (x,)))
    return Figure(f"MobileNetV2 simulated forward pass, {words}", ratio, "x", goal, f"{times}, folded FP32")


def _compiled(network: mj.Network, quantized: mj.Network, x: Tensor) -> Figure:
    exact, simulated = torch.compile(network.module), torch.compile(quantized.module)
    with torch.no_grad():
        ratio, times = _ratio(lambda: simulated(x), lambda: exact(x))
    return Figure(
        "MobileNetV2 simulated forward pass, compiled", ratio, "x", "<= 1.25", f"{times}, compiled folded FP32"
    )


def _calibration(network: mj.Network) -> Figure:
    images = torch.rand(8 * BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1
    fresh = network.copy()
    mj.quantize(fresh)
    source = batches(images, batch_size=BATCH)

    def forward() -> None:
        for inputs, _ in source:
            run(network, inputs)

    ratio, times = _ratio(lambda: mj.calibrate(fresh, source), forward, rounds=9)
    return Figure("MobileNetV2 calibration", ratio, "x", "<= 1.5", f"{times}, FP32 over the same {len(images)} images")


def _ratio(ours: Callable[[], object], reference: Callable[[], object], *, rounds: int = ROUNDS) -> tuple[float, str]:
    """The median ratio of two runs in a row, after a warm-up of each: what else the machine does slows both."""
    for warm_up in (ours, reference, ours, reference):
        warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, gathered in zip((ours, reference), times, strict=True):
            began = time.perf_counter()
            call()
            gathered.append(1e3 * (time.perf_counter() - began))
    ratio = statistics.median(first / second for first, second in zip(*times, strict=True))
    first, second = (statistics.median(gathered) for gathered in times)
    return ratio, f"{first:.0f} ms against {second:.0f} ms"
