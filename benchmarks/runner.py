"""Running one benchmark: each figure is printed as soon as it is known, and kept when all are."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.results import Results, Timed, line
from microjoule.records.machine import this_machine


class Benchmark(Protocol):
    """A module that measures: its docstring's first line says what, `figures` yields each figure when it is known."""

    __doc__: str | None

    def figures(self, data: Path) -> Iterator[Figure]:
        """Measure on the data in a folder."""


def run(name: str, benchmark: Benchmark, data: Path) -> Results:
    """Run a benchmark: lines of JSON for machines on stdout, a table for people on stderr."""
    timed = []
    for one in _with_seconds(benchmark.figures(data)):
        sys.stdout.write(line(one) + "\n")
        sys.stdout.flush()
        timed.append(one)
    results = Results(name, data.name, datetime.now(UTC).isoformat(timespec="seconds"), this_machine(), tuple(timed))
    Console(stderr=True).print(table(results))
    return results


def table(results: Results) -> Table:
    """The figures of a benchmark, for people."""
    drawn = Table(title=results.benchmark)
    for heading in ("figure", "value", "goal", "met", "compared with", "seconds"):
        drawn.add_column(heading, justify="right" if heading in {"value", "goal", "seconds"} else "left")
    for timed in results.figures:
        figure = timed.figure
        met = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[figure.met]
        drawn.add_row(figure.name, figure.shown, figure.goal or "", met, figure.compared_with, f"{timed.seconds:.1f}")
    return drawn


def summary(benchmark: Benchmark) -> str:
    """What a benchmark measures, in a line."""
    return (benchmark.__doc__ or "").partition("\n")[0]


def _with_seconds(figures: Iterator[Figure]) -> Iterator[Timed]:
    begin = time.perf_counter()
    for figure in figures:
        yield Timed(figure, time.perf_counter() - begin)
        begin = time.perf_counter()
