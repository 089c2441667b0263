"""ResNet-20, 32 and 56 on CIFAR-10 made smaller in one shot, against AIMET's recipe and torch-pruning."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compression import figures_of
from benchmarks.compression_cases import RESNET20, RESNET32, RESNET56
from benchmarks.figure import Figure


def figures(data: Path) -> Iterator[Figure]:
    """Points above the others, and latencies."""
    yield from figures_of((RESNET20, RESNET32, RESNET56), data, "compression_cifar10.html")
