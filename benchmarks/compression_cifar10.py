"""ResNet-20, 32 and 56 on CIFAR-10 made smaller in one shot, against AIMET's recipe and torch-pruning."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.compression import parts_of
from benchmarks.compression_cases import RESNET20, RESNET32, RESNET56
from benchmarks.partial_results import Part


def parts(data: Path) -> Sequence[Part]:
    """Points above the others, and latencies."""
    return parts_of((RESNET20, RESNET32, RESNET56), data, 35)
