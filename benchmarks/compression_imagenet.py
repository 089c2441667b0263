"""SqueezeNet and MobileNetV2 on ImageNet made smaller in one shot, against AIMET's recipe and torch-pruning."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compression import figures_of
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, SQUEEZENET


def figures(data: Path) -> Iterator[Figure]:
    """Points above the others, and latencies."""
    yield from figures_of((SQUEEZENET, MOBILENET_V2), data, "compression_imagenet.html")
