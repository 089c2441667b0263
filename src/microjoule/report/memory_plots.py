"""Memory over time, in the order that there was and in the one that was chosen, and what lies where in the arena."""

from collections.abc import Sequence
from typing import Any

from microjoule.records.scheduled import Demand, Held, MemoryUse, RanInOrder, Scheduled
from microjoule.report import units
from microjoule.report.plots import Figure, Plot, label, single

MOST_HELD = 12
"""As many values as a hint and a sentence name."""


def saving(record: Scheduled) -> str:
    """What the order does to the peak, in a sentence."""
    before, after = record.before.peak_bytes, record.after.peak_bytes
    if after == before:
        return f"The order that there was takes {units.size(before)}; none that was found takes less."
    less = units.rounded_percent(1 - after / before)
    return f"The peak falls from {units.size(before)} to {units.size(after)}, by {less}."


def assumed(record: Scheduled) -> str:
    """How bytes were counted, in words."""
    if not record.accumulates:
        return record.sizes
    return f"{record.sizes}, by a runtime whose convolutions add to sums in place"


def certificate(record: Scheduled) -> str:
    """How good the order is, and why, in words."""
    bound = units.size(record.bound_bytes)
    told = "No order can do better" if record.optimal else f"No order can take less than {bound}"
    if record.limit is None:
        looked = f"the search looked at {record.states:,} state{'' if record.states == 1 else 's'}"
        return f"{told}: {looked}, and left none open that could."
    if not record.limit.operator:
        return f"{told}: what the caller gives takes as much, before anything has run: {_held(record.limit.values)}."
    return (
        f"{told}: whatever ran before it, while {record.limit.operator} runs at least {bound} must be in memory. "
        f"In the best case these values are: {_held(record.limit.values)}."
    )


def plan(record: Scheduled) -> str:
    """How good the arena is, in words."""
    size = units.size(record.arena_bytes)
    if record.arena_bytes > record.arena_bound_bytes:
        return f"The arena has {size}; none for this order has less than {units.size(record.arena_bound_bytes)}."
    peak = ", as many as its peak" if record.arena_bytes == record.after.peak_bytes else ""
    return f"The arena has {size}{peak}: none for this order has less."


def obeyed(record: RanInOrder) -> str:
    """Whether a runtime does as it was told, in words."""
    same = "the same, bit for bit," if record.identical else "NOT the same"
    told = f"{record.runtime} gives outputs that are {same} on {record.samples} random inputs"
    if record.follows_file is False:
        return f"{told}, but it does not keep to the order of the file."
    if record.after_bytes is None:
        return f"{told}."
    over = units.rounded_percent(record.after_bytes / record.planned_bytes) if record.planned_bytes else "-"
    return f"{told}; its arena takes {units.size(record.after_bytes)}, {over} of the plan."


def memory_plot(record: Scheduled) -> Plot:
    """Memory over time."""
    caption = (
        f"Bytes of activations in memory while each operator runs, {assumed(record)}. No order stays below the dotted "
        "line. Point at a peak to see what is in memory there."
    )
    return single("memory", "Memory over time", caption, memory_over_time(record))


def memory_over_time(record: Scheduled) -> Figure:
    """A step for each operator, before and after, and the bound."""
    same = record.before == record.after
    orders = [("order", record.after, "@after")]
    if not same:
        orders = [("before", record.before, "@before"), ("after", record.after, "@after")]
    count = len(record.after.steps)
    bound = {
        "type": "scatter",
        "mode": "lines",
        "name": "bound",
        "x": [-0.5, count - 0.5],
        "y": [record.bound_bytes] * 2,
        "line": {"color": "@muted", "width": 1.5, "dash": "dot"},
        "hovertemplate": "no order takes less than %{y:.4s}B<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "step"}, "range": [-0.7, max(count, 1) - 0.3], "showgrid": False},
        "yaxis": _bytes_axis("memory"),
        "height": 420,
    }
    return {"data": [*(_over_time(*one) for one in orders), *_peaks(orders), bound], "layout": layout}


def arena_plot(record: Scheduled) -> Plot:
    """The arena."""
    caption = (
        "Each rectangle is a value, from the step that writes it to the last that reads it, on the bytes in which it "
        "lies. Rectangles never overlap."
    )
    return single("arena", "The arena", caption, arena_rectangles(record))


def arena_rectangles(record: Scheduled) -> Figure:
    """A rectangle for each value, steps to the right and bytes upwards, under a line at the arena's size."""
    arena = record.arena
    steps = max(len(record.after.steps), 1)
    bars = {
        "type": "bar",
        "x": [(one.first + one.until - 1) / 2 for one in arena],
        "width": [one.until - one.first for one in arena],
        "base": [one.offset for one in arena],
        "y": [one.size_bytes for one in arena],
        "customdata": [
            [
                "<br>".join(label(value) for value in one.values),
                units.size(one.size_bytes),
                f"steps {one.first} to {one.until - 1}",
                f"bytes {one.offset:,} to {one.offset + one.size_bytes - 1:,}",
            ]
            for one in arena
        ],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]}<br>%{customdata[3]}<extra></extra>",
        "marker": {"color": "@after-soft", "line": {"color": "@after", "width": 1}},
    }
    size = {
        "type": "scatter",
        "mode": "lines",
        "x": [-0.5, steps - 0.5],
        "y": [record.arena_bytes] * 2,
        "line": {"color": "@muted", "width": 1.5, "dash": "dot"},
        "hovertemplate": "the arena ends at %{y:.4s}B<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "step"}, "range": [-0.7, steps - 0.3], "showgrid": False},
        "yaxis": _bytes_axis("offset"),
        "barmode": "overlay",
        "height": 440,
        "showlegend": False,
    }
    return {"data": [bars, size], "layout": layout}


def _bytes_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "rangemode": "tozero", "tickformat": "~s", "ticksuffix": "B"}


def _over_time(name: str, use: MemoryUse, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(range(len(use.steps))),
        "y": [step.size_bytes for step in use.steps],
        "customdata": [[label(step.operator), units.size(step.size_bytes)] for step in use.steps],
        "line": {"color": colour, "width": 2, "shape": "hvh"},
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<extra>%{fullData.name}</extra>",
    }


def _peaks(orders: Sequence[tuple[str, MemoryUse, str]]) -> list[dict[str, Any]]:
    """A point where each order takes the most, with what is in memory there."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"peak {name}" if len(orders) > 1 else "peak",
            "x": [_step_of(use, use.peak)],
            "y": [use.peak.size_bytes],
            "customdata": [[_hint(use.peak)]],
            "marker": {"color": colour, "size": 9},
            "hovertemplate": "%{customdata[0]}<extra>%{fullData.name}</extra>",
            "showlegend": False,
        }
        for name, use, colour in orders
        if use.peak is not None
    ]


def _step_of(use: MemoryUse, peak: Demand) -> int:
    return [step.operator for step in use.steps].index(peak.operator)


def _hint(peak: Demand) -> str:
    lines = [f"{label(one.value)}: {units.size(one.size_bytes)}" for one in _largest(peak.values)]
    more = len(peak.values) - len(lines)
    return "<br>".join([f"{label(peak.operator)}, {units.size(peak.size_bytes)}", *lines, *_more(more)])


def _held(values: Sequence[Held]) -> str:
    shown = [f"{one.value} ({units.size(one.size_bytes)})" for one in _largest(values)]
    return ", ".join([*shown, *_more(len(values) - len(shown))])


def _largest(values: Sequence[Held]) -> list[Held]:
    return sorted(values, key=lambda one: -one.size_bytes)[:MOST_HELD]


def _more(count: int) -> list[str]:
    return [f"and {count:,} more"] if count else []
