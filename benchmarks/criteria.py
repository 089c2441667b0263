"""ResNet-20 at three quarters of its products by channels alone: accuracy for each criterion that chooses them."""

import time
from collections.abc import Iterator
from pathlib import Path

import microjoule as mj
from benchmarks.compression_cases import RESNET20, Case, case
from benchmarks.figure import Figure
from benchmarks.subjects import score
from microjoule.compression.criteria import CRITERIA

SHARE = 0.75
"""Of the multiply-accumulates, that is kept."""


def figures(data: Path) -> Iterator[Figure]:
    """The original's accuracy, then that of each criterion; what is left is fitted to the original in the same way.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    given = case(RESNET20, data)
    before = score(given.given.network, given.given, batch_size=100)
    yield Figure(f"{RESNET20} before", before, "%", None, f"{len(given.judges)} images")
    for criterion in CRITERIA:
        yield by_criterion(given, criterion, before)


def by_criterion(given: Case, criterion: str, before: float) -> Figure:
    """The accuracy of what one criterion leaves.

    Args:
        given: the network and the images that it may look at.
        criterion: by which channels are chosen.
        before: the original's accuracy.
    """
    subject, images, started = given.given, given.images, time.perf_counter()
    pairs = images.inputs, images.labels
    how = {"macs": SHARE, "ways": (1.0,), "criterion": criterion}
    found = mj.compress(subject.network, pairs, subject.metric, **how)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    after, left = score(found, subject, batch_size=100), mj.costs(found).macs / mj.costs(subject.network.copy()).macs
    told = f"{before - after:.2f} points below the original {before:.2f}; {left:.1%} of the MACs; {seconds:.0f} s"
    return Figure(f"{subject.name}, {SHARE:.0%} of the MACs by {criterion}", after, "%", None, told)
