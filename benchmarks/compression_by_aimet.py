"""ResNet-20 made smaller by aimet-torch itself, to see how near the baseline that is built here comes to it."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compression import by_aimet
from benchmarks.figure import Figure


def figures(data: Path) -> Iterator[Figure]:
    """Accuracy by scheme and share."""
    yield from by_aimet(data)
