"""SqueezeNet and MobileNetV2 on ImageNet made smaller in one shot, against AIMET's recipe and torch-pruning."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.compression import parts_of
from benchmarks.partial_results import Part
from benchmarks.subjects import MOBILENET_V2, SQUEEZENET


def parts(data: Path) -> Sequence[Part]:
    """Points above the others, and latencies."""
    return parts_of((SQUEEZENET, MOBILENET_V2), data, 50)
