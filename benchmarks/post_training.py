"""Four bits without training: what rounding that is fitted to data keeps of the accuracy."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import first_layer, fitted_rounding, fitting_memory, mixed_precision
from benchmarks.figure import Figure


def figures(data: Path) -> Iterator[Figure]:
    """Every figure, the quick ones first.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    yield from first_layer.figures(data)
    yield from fitted_rounding.figures(data)
    yield from fitting_memory.figures(data)
    yield from mixed_precision.figures(data)
