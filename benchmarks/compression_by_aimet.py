"""ResNet-20 made smaller by aimet-torch itself, to see how near the baseline that is built here comes to it."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.compression import aimet_parts
from benchmarks.partial_results import Part


def parts(data: Path) -> Sequence[Part]:
    """What is lost, by scheme and share."""
    return aimet_parts(data)
