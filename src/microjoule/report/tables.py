"""Records to rows: what the page and the terminal both show."""

from collections.abc import Sequence
from dataclasses import dataclass

from microjoule.records.facts import Record
from microjoule.records.measured import Evaluated, Exported, Measured
from microjoule.report import units
from microjoule.report.choose import ORIGINAL, every, is_float, stage_of


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; `unit` stands under it, numeric columns are flush right."""

    title: str
    numeric: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and what it is sorted by; None sorts last.

    Args:
        share: part of the column's largest value, drawn as a bar; None for no bar.
        tone: "good", "bad" or nothing.
    """

    text: str
    value: float | str | None
    share: float | None = None
    tone: str = ""


MISSING = Cell(units.NONE, None)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, one a column."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def word(text: str) -> Cell:
    """A cell that is sorted by its text."""
    return Cell(text, text.lower())


def number(value: float | None, text: str) -> Cell:
    """A cell that is sorted by a number."""
    return MISSING if value is None else Cell(text, value)


def amounts(values: Sequence[float | None], unit: str, *, bars: bool = False) -> tuple[str, list[Cell]]:
    """A column of amounts under one prefix, that of the largest: the unit with its prefix, and the cells."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    power = units.exponent(largest)
    scale = 10.0**power
    cells = [
        MISSING
        if value is None
        else Cell(
            units.fixed(value / scale, largest / scale), value, share=value / largest if bars and largest else None
        )
        for value in values
    ]
    return units.PREFIXES[power] + unit, cells


# Accuracy --------------------------------------------------------------------


def metrics(records: Sequence[Record]) -> list[list[Evaluated]]:
    """Evaluations that can be compared, together: the same metric on the same data."""
    groups: dict[tuple[str, str], list[Evaluated]] = {}
    for record in every(records, Evaluated):
        groups.setdefault((record.metric, record.data), []).append(record)
    return list(groups.values())


def change_to_float(record: Evaluated, group: Sequence[Evaluated]) -> float | None:
    """How much a stage differs from FP32 in the same metric on the same data; None for FP32 itself."""
    reference = [other.value for other in group if is_float(other.stage)]
    return record.value - reference[-1] if reference and not is_float(record.stage) else None


def tone(change: float | None, record: Evaluated) -> str:
    """What to think of a change: better is good, and over a point (without percent: a hundredth) worse is bad."""
    if change is None:
        return ""
    worse = -change if record.higher_is_better else change
    limit = 1.0 if record.unit == "%" else abs(record.value) / 100
    return "bad" if worse > limit else "good" if worse < 0 else ""


def evaluations(group: Sequence[Evaluated]) -> Table:
    """The stages of one metric on one data set; with their changes to what they were made from, where it is there."""
    changes = [change_to_float(record, group) for record in group]
    compared = any(change is not None for change in changes)
    rows = [
        (
            word(record.stage),
            number(record.value, units.score(record.value, record.unit)),
            *([_change(change, record)] if compared else []),
            number(record.samples, f"{record.samples:,}"),
            number(record.seconds, units.duration(record.seconds)),
        )
        for record, change in zip(group, changes, strict=True)
    ]
    against = "to the original" if any(record.stage == ORIGINAL for record in group) else "to FP32"
    columns = ("stage", group[0].metric, *([against] if compared else []), "samples", "time")
    return Table(
        f"{group[0].metric} on {group[0].data}",
        tuple(Column(title, numeric=index > 0) for index, title in enumerate(columns)),
        tuple(rows),
    )


def _change(change: float | None, record: Evaluated) -> Cell:
    if change is None:
        return MISSING
    return Cell(units.difference(change, record.unit), change, tone=tone(change, record))


# Files -----------------------------------------------------------------------


def files(records: Sequence[Record]) -> Table:
    """The files that were written."""
    rows = tuple(
        (
            word(record.path),
            word(stage_of(record)),
            word(record.format),
            number(record.size_bytes, units.size(record.size_bytes)),
            number(sum(record.operators.values()), f"{sum(record.operators.values()):,}"),
            MISSING if record.integers is None else Cell(units.percent(record.integers.share), record.integers.share),
        )
        for record in every(records, Exported)
    )
    return Table(
        "Files",
        (
            Column("file"),
            Column("stage"),
            Column("format"),
            Column("size", numeric=True),
            Column("operators", numeric=True),
            Column("MACs in integers", numeric=True),
        ),
        rows,
    )


def measurements(records: Sequence[Record]) -> Table:
    """Latency, size and memory of the files that were run."""
    rows = tuple(
        (
            word(record.path),
            word(record.runtime),
            number(record.latency_ms, units.latency(record.latency_ms)),
            number(
                record.latency_high_ms - record.latency_low_ms,
                f"{units.latency(record.latency_low_ms)} to {units.latency(record.latency_high_ms)}",
            ),
            number(record.size_bytes, units.size(record.size_bytes)),
            number(record.peak_memory_bytes, units.size(record.peak_memory_bytes)),
            number(record.batch, f"{record.batch}"),
            number(record.threads, f"{record.threads}"),
            number(record.runs, f"{record.runs:,}"),
        )
        for record in every(records, Measured)
    )
    titles = ("file", "runtime", "latency", "spread", "size", "peak memory", "batch", "threads", "runs")
    return Table("Measured", tuple(Column(title, numeric=index > 1) for index, title in enumerate(titles)), rows)
