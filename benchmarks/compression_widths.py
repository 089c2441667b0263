"""ResNet-20 and MobileNetV2 made smaller in widths and ranks that are multiples of 8 and 16: accuracy and milliseconds.

`compression_cifar10` and `compression_imagenet` have the same shares with widths of any number, for the best accuracy.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.compression import PLOTS, Outcome, latencies, macs_of, ours
from benchmarks.compression_cases import RESNET20, case
from benchmarks.compression_plot import Point, draw
from benchmarks.differences import SEEDS, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import MOBILENET_V2, last_score, scored
from microjoule.records.measured import Evaluated

SHARES = {RESNET20: 0.5, MOBILENET_V2: 0.75}
"""By network, of the multiply-accumulates that may be left."""

MULTIPLES = (8, 16)

MINUTES = {RESNET20: 15, MOBILENET_V2: 40}
"""On two cores."""


def parts(data: Path) -> Sequence[Part]:
    """Of each network the accuracy, and latencies in FP32 and int8; each has a plot of its own.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part(name, MINUTES[name], partial(_network, data, name)) for name in SHARES]


def _network(data: Path, name: str, kept: Partial) -> Iterator[Figure]:
    given, points = case(name, data), list[Point]()
    network, share = given.given.network, SHARES[name]
    exact = kept.evaluated(f"{name} original", lambda: scored(network, given.given, "original"))
    yield score(f"{name} before", exact)
    timed, outcomes = {"original": network}, [Outcome("original", exact, 1.0)]
    for multiple in MULTIPLES:
        tool, small = f"multiples of {multiple}, {share:.0%}", ours(given, share, multiple=multiple)
        left = macs_of(small) / macs_of(network)
        found = [last_score(small, tool)]
        for seed in SEEDS[1:]:
            found.append(kept.evaluated(f"{name} {tool} {seed}", partial(_again, data, name, tool, (multiple, seed))))
        yield below(f"{name}, {tool} of the MACs, below the original", exact, found, told=f"{left:.1%} of the MACs")
        timed[tool] = small
        outcomes.append(Outcome(tool, found[0], left))
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        yield from latencies(given, timed, outcomes, Path(place), points)
    draw(points, PLOTS / f"{name}-widths.html")


def _again(data: Path, name: str, tool: str, how: tuple[int, int]) -> Evaluated:
    """The score with another seed, and other images to look at."""
    multiple, seed = how
    return last_score(ours(case(name, data, seed), SHARES[name], multiple=multiple, seed=seed), tool)
