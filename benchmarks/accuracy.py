"""What data-free quantization costs in accuracy, on labelled data that it never saw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import microjoule as mj
from benchmarks.differences import SEEDS, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import (
    DEEPLAB,
    DS_CNN,
    MOBILENET_V1,
    MOBILENET_V2,
    SQUEEZENET,
    Subject,
    images,
    scored,
    subject,
)
from microjoule.records.measured import Evaluated

IMAGES = 48
"""Unlabelled images: for the activation ranges of the naive conversion, and for networks without batch norms."""


@dataclass(frozen=True, slots=True)
class Case:
    """One quantization of one network.

    Args:
        target: whose grids.
        weights: bits.
        goal: of the loss in points.
        images: unlabelled images for ranges and biases, drawn with each seed; 0 for none at all.
    """

    target: str
    weights: int
    goal: str
    images: int = 0

    @property
    def words(self) -> str:
        """For the figure's name."""
        layout = "one scale a tensor" if self.target == "per-tensor" else "a scale a channel"
        return f"W{self.weights}A8, {layout}"


ONE = Case("per-tensor", 8, "<= 1.0")


def parts(data: Path) -> Sequence[Part]:
    """The losses of every network, and of the naive conversion beside some.

    Args:
        data: a folder of the layout that the zoo reads.
    """

    def part(name: str, minutes: float, samples: str, cases: list[Case], naive_goal: str | None = None) -> Part:
        metric, place = ("miou", "/masks") if name == DEEPLAB else ("top1", "")
        load = partial(subject, name, data, samples=samples, part=place, metric=metric)
        return Part(name, minutes, lambda kept: _losses(load(), data, cases, naive_goal, kept))

    with_images = [Case("per-tensor", 8, "<= 1.0", images=IMAGES)]
    channel = [ONE, Case("per-tensor", 6, "<= 3.0"), Case("onnxruntime", 8, "<= 0.5")]
    return [
        part(MOBILENET_V1, 1, "imagenet_val650", [ONE], "<= 2.0"),
        part(MOBILENET_V2, 1, "imagenet_val650", channel, "<= 4.0"),
        part(DEEPLAB, 8, "coco128_val", with_images, ""),
        part(DS_CNN, 0.1, "kws01", [Case("per-tensor", 8, "<= 0.3")]),
        part(SQUEEZENET, 1, "imagenet_val650", [Case("per-tensor", 8, "<= 0.5", images=IMAGES)]),
    ]


def _losses(given: Subject, data: Path, cases: list[Case], naive_goal: str | None, kept: Partial) -> Iterator[Figure]:
    """FP32, naive where it is wanted (with a goal, or an empty one), and each case's loss."""
    name = given.name
    exact = kept.evaluated(f"{name} FP32", lambda: scored(given.network, given, "FP32"))
    yield score(f"{name} FP32", exact)
    if naive_goal is not None:
        plain = kept.evaluated(f"{name} naive", lambda: _naive(given, data))
        told = f"FP32 {exact.value:.2f}, {plain.samples} samples; ranges from {IMAGES} images"
        yield Figure(f"{name} {ONE.words}, naive", plain.value, plain.unit, naive_goal or None, told)
    for case in cases:
        seeds = SEEDS if case.images else SEEDS[:1]
        found = [
            kept.evaluated(f"{name} {case.words} {seed}", partial(_data_free, given, data, case, seed))
            for seed in seeds
        ]
        source = f"from {case.images} images of each seed" if case.images else "from batch-norm statistics"
        yield below(f"{name} {case.words}, below FP32", exact, found, goal=case.goal, told=source)


def _naive(given: Subject, data: Path) -> Evaluated:
    made = mj.recipes.naive(given.network, images(given.name, data, IMAGES), target="per-tensor")
    return scored(made, given, "naive")


def _data_free(given: Subject, data: Path, case: Case, seed: int) -> Evaluated:
    made = mj.recipes.data_free(
        given.network,
        target=case.target,
        weights=case.weights,
        input_range=given.input_range,
        data=images(given.name, data, case.images, seed=seed) if case.images else None,
        seed=seed,
    )
    return scored(made, given, "data-free")
