"""ResNet-20 at three quarters of its products by channels alone: what each criterion that chooses them loses."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.compression_cases import RESNET20, case
from benchmarks.differences import SEEDS, below
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import last_score, scored
from microjoule.compression.criteria import CRITERIA
from microjoule.records.measured import Evaluated

SHARE = 0.75
"""Of the multiply-accumulates, that is kept."""


def parts(data: Path) -> Sequence[Part]:
    """What each criterion loses; what is left is fitted to the original in the same way.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part(name, 3, partial(_figures, data, name)) for name in CRITERIA]


def _figures(data: Path, criterion: str, kept: Partial) -> list[Figure]:
    given = case(RESNET20, data).given
    exact = kept.evaluated("original", lambda: scored(given.network, given, "original", batch_size=100))
    found = [kept.evaluated(f"{criterion} {seed}", partial(smaller, data, criterion, seed)) for seed in SEEDS]
    return [below(f"{given.name}, {SHARE:.0%} of the MACs by {criterion}, below the original", exact, found)]


def smaller(data: Path, criterion: str, seed: int) -> Evaluated:
    """The score of a network that has lost channels.

    Args:
        data: a folder of the layout that the zoo reads.
        criterion: by which they are chosen.
        seed: of the images that are looked at.
    """
    given = case(RESNET20, data, seed)
    how: dict[str, Any] = {"macs": SHARE, "ways": (1.0,), "criterion": criterion, "seed": seed}
    pairs = given.images.inputs, given.images.labels
    found = mj.compress(given.given.network, pairs, given.given.metric, confirm=given.judges, **how)
    return last_score(found, criterion)
