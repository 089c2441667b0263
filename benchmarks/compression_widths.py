"""ResNet-20 and MobileNetV2 made smaller in widths and ranks that are multiples of 8: accuracy, work and milliseconds.

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

MULTIPLE = 8


def figures(data: Path) -> Iterator[Figure]:
    """Of each network the accuracy, and latencies in FP32 and int8; the plot is written at the end.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    points: list[Point] = []
    for name, share in SHARES.items():
        given = case(name, data)
        network, tool = given.given.network, f"multiples of {MULTIPLE}, {share:.0%}"
        small = ours(given, share, multiple=MULTIPLE)
        before, after = (score(one, given.given) for one in (network, small))
        left = macs_of(small) / macs_of(network)
        yield Figure(f"{name}, {tool} of the MACs", after, "%", None, f"before {before:.2f}; {left:.1%} of the MACs")
        with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
            outcomes = [Outcome("original", before, 1.0), Outcome(tool, after, left)]
            yield from latencies(given, {"original": network, tool: small}, outcomes, Path(place), points)
    draw(points, PLOTS / "compression_widths.html")
