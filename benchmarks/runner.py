"""Running one benchmark: each figure is printed as soon as it is known; what is interrupted goes on where it was."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.figure import MET, MISSED, UNDECIDED, Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.results import Results, Timed, line
from microjoule.records.machine import this_machine

NOTHING = Partial()
"""Nothing is done already, and nothing is kept."""

STATES = {MET: "[green]met[/green]", MISSED: "[red]missed[/red]", UNDECIDED: "[yellow]undecided[/yellow]", "": ""}


class Benchmark(Protocol):
    """A module that measures: its docstring's first line says what.

    `figures(data)` yields each figure when it is known. One that takes long has `parts(data)` in its place, a sequence
    of `Part`s, of which those that are done are not measured again after an interruption.
    """

    __doc__: str | None


def run(name: str, benchmark: Benchmark, data: Path, partial: Partial = NOTHING) -> Results:
    """Run a benchmark: lines of JSON for machines on stdout, a table for people on stderr.

    Args:
        name: of the benchmark.
        benchmark: it.
        data: the data folder.
        partial: what of it is done already.
    """
    timed, parts = [], parts_of(benchmark, data)
    sys.stderr.write(f"{name}: {left(parts, partial)}\n")
    for part in parts:
        for one in partial.timed(part.name, lambda part=part: _with_seconds(part.measure(partial))):  # type: ignore[misc]
            sys.stdout.write(line(one) + "\n")
            sys.stdout.flush()
            timed.append(one)
    results = Results(name, data.name, datetime.now(UTC).isoformat(timespec="seconds"), this_machine(), tuple(timed))
    Console(stderr=True).print(table(results))
    return results


def parts_of(benchmark: Any, data: Path) -> Sequence[Part]:
    """The parts of a benchmark; one that has none is a part itself, of which it is not known how long it takes."""
    if hasattr(benchmark, "parts"):
        found: Sequence[Part] = benchmark.parts(data)
        return found
    return [Part("all", 0.0, lambda _: benchmark.figures(data))]


def left(parts: Sequence[Part], partial: Partial) -> str:
    """How much there is still to do, in words."""
    minutes = sum(part.minutes for part in parts if not partial.is_done(part.name))
    done = sum(partial.is_done(part.name) for part in parts)
    time_left = f", about {minutes:.0f} minutes are left on two free cores" if minutes else ""
    return f"{done} of {len(parts)} parts are done{time_left}"


def table(results: Results) -> Table:
    """The figures of a benchmark, for people."""
    drawn = Table(title=results.benchmark)
    for heading in ("figure", "value", "goal", "is", "compared with", "seconds"):
        drawn.add_column(heading, justify="right" if heading in {"value", "goal", "seconds"} else "left")
    for timed in results.figures:
        figure = timed.figure
        state = STATES[figure.state]
        drawn.add_row(figure.name, figure.shown, figure.goal or "", state, figure.compared_with, f"{timed.seconds:.1f}")
    return drawn


def summary(benchmark: Benchmark) -> str:
    """What a benchmark measures, in a line."""
    return (benchmark.__doc__ or "").partition("\n")[0]


def _with_seconds(figures: Iterable[Figure]) -> Iterator[Timed]:
    begin = time.perf_counter()
    for figure in figures:
        yield Timed(figure, time.perf_counter() - begin)
        begin = time.perf_counter()
