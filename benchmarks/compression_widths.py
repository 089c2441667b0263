"""ResNet-20 and MobileNetV2 made smaller in widths and ranks that are multiples of 8 and 16: accuracy and milliseconds.

`compression_cifar10` and `compression_imagenet` have the same shares with widths of any number, for the best accuracy.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compression import PLOTS, Outcome, latencies, macs_of, ours
from benchmarks.compression_cases import RESNET20, case
from benchmarks.compression_plot import Point, draw
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, score

SHARES = {RESNET20: 0.5, MOBILENET_V2: 0.75}
"""By network, of the multiply-accumulates that may be left."""

MULTIPLES = (8, 16)


def figures(data: Path) -> Iterator[Figure]:
    """Of each network the accuracy, and latencies in FP32 and int8; the plot is written at the end.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    points: list[Point] = []
    for name, share in SHARES.items():
        given = case(name, data)
        network, before = given.given.network, score(given.given.network, given.given)
        timed, outcomes = {"original": network}, [Outcome("original", before, 1.0)]
        for multiple in MULTIPLES:
            tool, small = f"multiples of {multiple}, {share:.0%}", ours(given, share, multiple=multiple)
            after, left = score(small, given.given), macs_of(small) / macs_of(network)
            told = f"before {before:.2f}; {left:.1%} of the MACs"
            yield Figure(f"{name}, {tool} of the MACs", after, "%", None, told)
            timed[tool] = small
            outcomes.append(Outcome(tool, after, left))
        with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
            yield from latencies(given, timed, outcomes, Path(place), points)
    draw(points, PLOTS / "compression_widths.html")
