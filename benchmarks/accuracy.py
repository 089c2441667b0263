"""What data-free quantization costs in accuracy, on labelled data that it never saw."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import DEEPLAB, DS_CNN, MOBILENET_V1, MOBILENET_V2, SQUEEZENET, Subject, images, score, subject
from microjoule.records.facts import BiasesCorrected

IMAGES = 48
"""Unlabelled images: for the activation ranges of the naive conversion, and for networks without batch norms."""


@dataclass(frozen=True, slots=True)
class Case:
    """One quantization of one network.

    Args:
        target: whose grids.
        weights: bits.
        goal: of the loss in points.
        images: unlabelled images for ranges and biases; 0 for none at all.
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


def figures(data: Path) -> Iterator[Figure]:
    """The losses of every network, and of the naive conversion beside them."""
    v1 = subject(MOBILENET_V1, data, samples="imagenet_val650")
    yield from _losses(v1, data, [ONE], naive_goal="<= 2.0")
    v2 = subject(MOBILENET_V2, data, samples="imagenet_val650")
    cases = [ONE, Case("per-tensor", 6, "<= 3.0"), Case("onnxruntime", 8, "<= 0.5")]
    yield from _losses(v2, data, cases, naive_goal="<= 4.0")
    deeplab = subject(DEEPLAB, data, samples="coco128_val", part="/masks", metric="miou")
    yield from _losses(deeplab, data, [Case("per-tensor", 8, "<= 1.0", images=IMAGES)], naive_goal=None)
    yield from _losses(subject(DS_CNN, data, samples="kws01"), data, [Case("per-tensor", 8, "<= 0.3")])
    squeezenet = subject(SQUEEZENET, data, samples="imagenet_val650")
    yield from _losses(squeezenet, data, [Case("per-tensor", 8, "<= 0.5", images=IMAGES)])


def _losses(given: Subject, data: Path, cases: list[Case], *, naive_goal: str | None = "none") -> Iterator[Figure]:
    """FP32, naive where it is wanted (a goal, or None to tell it only), and each case's loss."""
    exact = score(given.network, given)
    count = f"{len(given.labelled)} samples"
    yield Figure(f"{given.name} FP32", exact, given.metric.unit, None, count)
    if naive_goal != "none":
        plain = mj.recipes.naive(given.network, images(given.name, data, IMAGES), target="per-tensor")
        compared = f"FP32 {exact:.2f}; ranges from {IMAGES} images"
        yield Figure(f"{given.name} {ONE.words}, naive", score(plain, given), given.metric.unit, naive_goal, compared)
    for case in cases:
        quantized = mj.recipes.data_free(
            given.network,
            target=case.target,
            weights=case.weights,
            input_range=given.input_range,
            data=images(given.name, data, case.images) if case.images else None,
        )
        loss = exact - score(quantized, given)
        source = next(record.source for record in quantized.history if isinstance(record, BiasesCorrected))
        compared = f"FP32 {exact:.2f}, {count}; from {source}"
        yield Figure(f"{given.name} {case.words}, below FP32", loss, "points", case.goal, compared)
