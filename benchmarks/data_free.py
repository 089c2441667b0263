"""Data-free quantization: models captured, accuracy kept, deployed equal to simulated, latency, size, simulation."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import accuracy, agreement, hexagon, latency, simulation_speed, timm_models
from benchmarks.figure import Figure


def figures(data: Path) -> Iterator[Figure]:
    """Every figure, the quick ones first.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    yield from simulation_speed.figures(data)
    yield from timm_models.figures()
    yield from hexagon.figures()
    yield from latency.figures(data)
    yield from accuracy.figures(data)
    yield from agreement.figures(data)
