"""Data-free quantization: models captured, accuracy kept, deployed equal to simulated, latency, size, simulation."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks import accuracy, agreement, hexagon, latency, simulation_speed, timm_models
from benchmarks.partial_results import Part


def parts(data: Path) -> Sequence[Part]:
    """Every figure, the quick ones first.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [
        Part("simulation speed", 1, lambda _: simulation_speed.figures(data)),
        Part("models of timm", 3, lambda _: timm_models.figures()),
        Part("hexagon", 1, lambda _: hexagon.figures()),
        Part("latency", 1, lambda _: latency.figures(data)),
        *accuracy.parts(data),
        Part("agreement", 2, lambda _: agreement.figures(data)),
    ]
