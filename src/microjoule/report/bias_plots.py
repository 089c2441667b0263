"""How far rounding moved the means of the channels, before and after bias correction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from microjoule.records.facts import BiasesCorrected
from microjoule.report.plots import Figure

BINS = 61
"""Odd, so that one bin is centred on 0: no shift at all."""

MIDDLE_SHARE = 0.99
"""The axis shows this share of the channels before correction; those beyond are counted in the outermost bins."""


@dataclass(frozen=True, slots=True)
class Shifts:
    """The shifts of all channels of all layers, in standard deviations; only finite ones."""

    before: tuple[float, ...]
    after: tuple[float, ...]

    @classmethod
    def of(cls, record: BiasesCorrected) -> "Shifts":
        """All layers of a record together."""
        return cls(
            tuple(value for shift in record.shifts for value in shift.before if math.isfinite(value)),
            tuple(value for shift in record.shifts for value in shift.after if math.isfinite(value)),
        )


def root_mean_square(values: Sequence[float]) -> float:
    """sqrt(mean(x^2)); 0 for nothing."""
    return math.sqrt(math.fsum(value * value for value in values) / len(values)) if values else 0.0


def bin_counts(values: Sequence[float], edge: float) -> list[int]:
    """How many values fall into each of BINS equal bins over [-edge, edge]; those beyond count at the ends."""
    counts = [0] * BINS
    for value in values:
        place = math.floor((min(max(value, -edge), edge) + edge) / (2 * edge) * BINS)
        counts[min(place, BINS - 1)] += 1
    return counts


def bias_histogram(record: BiasesCorrected) -> Figure:
    """Two histograms over each other on the same bins; that of the shifts after only where they were measured."""
    shifts = Shifts.of(record)
    sizes = sorted(abs(value) for value in (*shifts.before, *shifts.after))
    edge = (sizes[math.ceil(MIDDLE_SHARE * len(sizes)) - 1] if sizes else 0.0) or 1.0
    width = 2 * edge / BINS
    centres = [float(f"{-edge + width * (index + 0.5):.4g}") for index in range(BINS)]
    layout = {
        "xaxis": {"title": {"text": "shift of a channel's mean (standard deviations)"}},
        "yaxis": {"title": {"text": "channels"}},
        "barmode": "overlay",
        "bargap": 0,
        "height": 340,
    }
    bars = [_bars("before correction", centres, bin_counts(shifts.before, edge), "@before")]
    if shifts.after:
        bars.append(_bars("after correction", centres, bin_counts(shifts.after, edge), "@after"))
    return {"data": bars, "layout": layout}


def _bars(name: str, centres: Sequence[float], counts: Sequence[int], colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": list(centres),
        "y": list(counts),
        "hovertemplate": "%{y} channels around %{x:.3g}<extra>%{fullData.name}</extra>",
        "marker": {"color": f"{colour}-soft", "line": {"color": colour, "width": 1}},
    }
