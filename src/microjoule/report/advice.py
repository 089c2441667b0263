"""The quantizers that hurt most, and in words what to do about each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.report import units
from microjoule.report.plots import Show
from microjoule.report.tables import MISSING, Cell, Column, Table, number, word

WORST = 12
"""So many quantizers are told of."""

HEALED = 10.0
"""A width helps if it makes the harm this many times smaller."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A way to see how much a quantizer hurts.

    Args:
        title: what it is called.
        read: its value in a row, or None.
        harm: a value as a number that grows with the harm.
        harmless: a harm up to this is not worth a bit.
    """

    title: str
    unit: str
    read: Callable[[Sensitivity], float | None]
    harm: Callable[[float], float]
    harmless: float
    digits: units.Words = units.digits

    def harm_of(self, row: Sensitivity) -> float:
        """How much a row hurts; 0 where that is not known."""
        value = self.read(row)
        return 0.0 if value is None or math.isnan(value) else self.harm(value)

    def told(self, row: Sensitivity) -> str:
        """The value in words: "KL 0.31"."""
        value = self.read(row)
        return units.NONE if value is None else f"{self.title} {self.digits(value)} {self.unit}".strip()


def noise_share(ratio_db: float) -> float:
    """The power of the noise over that of the signal, from a ratio in decibel."""
    return math.pow(10, -max(ratio_db, -300.0) / 10)


DIVERGENCE = Measure("KL", "", lambda row: row.kl, float, 0.01)
SQNR = Measure("SQNR", "dB", lambda row: row.sqnr_db, noise_share, 1e-3, units.decibel)
ESTIMATE = Measure("estimate", "", lambda row: row.proxy, float, 0.0)


def measure_of(record: Sensitivities) -> Measure:
    """The most telling measure that every row has."""
    known = (measure for measure in (DIVERGENCE, SQNR) if all(measure.read(row) is not None for row in record.rows))
    return next(known, ESTIMATE)


def by_quantizer(record: Sensitivities) -> list[list[Sensitivity]]:
    """The rows of each quantizer together, narrow to wide, in the order of the network."""
    found: dict[tuple[str, str], list[Sensitivity]] = {}
    for row in record.rows:
        found.setdefault((row.kind, row.name), []).append(row)
    return [sorted(rows, key=lambda row: row.bits) for rows in found.values()]


def worst(record: Sensitivities) -> list[list[Sensitivity]]:
    """The quantizers that hurt most at their narrowest, the worst first."""
    measure = measure_of(record)
    return sorted(by_quantizer(record), key=lambda rows: -measure.harm_of(rows[0]))[:WORST]


def remedy(rows: Sequence[Sensitivity], measure: Measure) -> str:
    """What to do about one quantizer, where its numbers stand beside it.

    Args:
        rows: of the quantizer, narrow to wide.
        measure: how harm is seen.
    """
    narrow, harm = rows[0], measure.harm_of(rows[0])
    if harm <= measure.harmless:
        return f"leave it at {narrow.bits} bits"
    for row in rows[1:]:
        if measure.harm_of(row) <= max(harm / HEALED, measure.harmless):
            return f"give it {row.bits} bits"
    start = "more bits do not heal it" if rows[1:] else "try more bits"
    other = "fold constant channels, equalize or clip" if narrow.kind == "weight" else "clip its range (rule=mse)"
    return f"{start}: {other}, or leave it in floating point"


def advice(rows: Sequence[Sensitivity], measure: Measure, show: Show) -> str:
    """What to do about one quantizer, with its name and its numbers.

    Args:
        rows: of the quantizer, narrow to wide.
        measure: how harm is seen.
        show: a name to what a reader sees.
    """
    place = show(rows[0].layer or rows[0].name)
    what = f"the {'weights' if rows[0].kind == 'weight' else 'output'} of {place}" if rows[0].layer else place
    told = [f"{measure.told(rows[0])} at {rows[0].bits} bits", *(_short(row, measure) for row in rows[1:])]
    return f"{what} ({', '.join(told)}): {remedy(rows, measure)}"


def _short(row: Sensitivity, measure: Measure) -> str:
    return f"{measure.told(row).removeprefix(measure.title).strip()} at {row.bits}"


def worst_table(record: Sensitivities, show: Show) -> Table:
    """The worst quantizers, how much they hurt at each width, and what to do."""
    measure, chosen = measure_of(record), worst(record)
    widths = sorted({row.bits for row in record.rows})
    rows = []
    for found in chosen:
        at = {row.bits: row for row in found}
        cells = [_cell(at.get(width), measure) for width in widths]
        values = [_value(found[0], record)] if record.metric else []
        rows.append(
            (
                word(show(found[0].layer or found[0].name)),
                word(found[0].kind),
                *cells,
                *values,
                word(remedy(found, measure)),
            )
        )
    narrowest = f"at {widths[0]} bits" if widths else ""
    columns = (
        Column("quantizer"),
        Column("kind"),
        *(Column(f"{measure.title} at {width} bits", numeric=True, unit=measure.unit) for width in widths),
        *([Column(f"{record.metric} {narrowest}", numeric=True)] if record.metric else []),
        Column("what to do"),
    )
    return Table("What hurts most", columns, tuple(rows))


def _cell(row: Sensitivity | None, measure: Measure) -> Cell:
    value = None if row is None else measure.read(row)
    return MISSING if value is None else number(value, measure.digits(value))


def _value(row: Sensitivity, record: Sensitivities) -> Cell:
    told = "" if row.value is None else units.value_with_error(row.value, row.value_error, record.unit)
    return number(row.value, told)
