"""Compression, drawn: what each layer cost before and after, the ways that were tried, and what each layer can bear."""

from collections.abc import Callable, Sequence
from typing import Any

from microjoule.records.compressed import Compressed, CompressionSensitivity, LayerCompressed, OneCompressed
from microjoule.report import units
from microjoule.report.plots import Choice, Figure, Plot, finite, label, layer_axis, single

Read = Callable[[OneCompressed], float | None]

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")
DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines of many layers are told apart by colour, then by dash and symbol."""

COLOURS = 8
"""Colours that follow each other before dashes change."""


# What was done --------------------------------------------------------------------------------------------------------


def layers_plot(record: Compressed) -> Plot:
    """What each layer that changed cost before and costs now."""
    names = [one.layer for one in record.layers]
    before = _bars("before", names, [one.cost_before for one in record.layers], "@before", 0.72)
    after = _bars("after", names, [one.cost_after for one in record.layers], "@after", 0.4)
    after["text"] = [label(_left(one)) for one in record.layers]
    after["textposition"] = "none"
    after["hovertemplate"] = "%{customdata}: %{y}<br>%{text}<extra>after</extra>"
    layout = {
        "xaxis": layer_axis(names),
        "yaxis": {"title": {"text": label(units.cost_axis(record.cost, record.cost_unit))}},
        "barmode": "overlay",
        "height": 440,
    }
    caption = "Wide bars: what the layer cost. Narrow bars: what is left of it, all its factors together."
    return single("compressed-layers", "Cost of each layer", caption, {"data": [before, after], "layout": layout})


def _bars(name: str, names: Sequence[str], values: Sequence[float], colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": list(range(len(names))),
        "y": [finite(value) for value in values],
        "customdata": [label(one) for one in names],
        "hovertemplate": "%{customdata}: %{y}<extra>%{fullData.name}</extra>",
        "marker": {"color": f"{colour}-soft" if width > 0.5 else colour, "line": {"color": colour, "width": 1}},
        "width": width,
    }


def _left(one: LayerCompressed) -> str:
    sides = " to ".join(map(str, one.channels_after))
    return f"{sides} channels" + (f", {one.method}, rank {' and '.join(map(str, one.ranks))}" if one.method else "")


def ways_plot(record: Compressed) -> Plot:
    """The metric of each way that was tried, over the share of the cost that channels alone left."""
    taken = [index == record.chosen for index in range(len(record.tried))]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "tried",
        "x": [finite(100 * way.pruned_to) for way in record.tried],
        "y": [finite(way.value) for way in record.tried],
        "text": [label(f"foreseen loss {units.digits(way.loss)}") for way in record.tried],
        "marker": {
            "color": ["@after" if one else "@quiet" for one in taken],
            "size": [13 if one else 8 for one in taken],
        },
        "line": {"color": "@quiet", "width": 1},
        "hovertemplate": "channels to %{x} %<br>%{y}<br>%{text}<extra></extra>",
    }
    layout = {
        "xaxis": {
            "title": {"text": label(f"{units.cost_name(record.cost)} that channels alone leave (%)")},
            "autorange": "reversed",
        },
        "yaxis": {"title": {"text": label(units.with_unit(record.metric, record.unit))}},
        "height": 340,
        "showlegend": False,
    }
    caption = "From low rank alone, on the left, to channels alone. The large point was taken."
    if record.confirmed is not None:
        caption += " These are the scores that it was chosen by; what it is worth is told on other samples."
    return single("compressed-ways", "Ways that were tried", caption, {"data": [trace], "layout": layout})


# What each layer can bear ---------------------------------------------------------------------------------------------


def bearing_plot(record: CompressionSensitivity) -> Plot:
    """A line for each layer or group: what was measured, if anything was, and what is foreseen."""
    kinds = list(dict.fromkeys(row.kind for row in record.rows))
    measures: list[tuple[str, str, Read, bool]] = [("foreseen loss", "relative error of outputs", _loss, True)]
    if record.value is not None:
        measures.insert(0, (record.metric, units.with_unit(record.metric, record.unit), _value, False))
    choices = tuple(
        Choice(f"{name}, {kind}", _lines(record, kind, title, read, logarithmic=logarithmic))
        for name, title, read, logarithmic in measures
        for kind in kinds
    )
    caption = (
        "One line a layer or channel group: it alone is made smaller, and fitted in closed form. Where a line falls "
        "early, leave the layer alone. Click a name to hide its line, twice to see it alone."
    )
    return Plot("bearing", "What each layer can bear", caption, choices, chooser="Measure")


def _loss(row: OneCompressed) -> float | None:
    return row.loss


def _value(row: OneCompressed) -> float | None:
    return row.value


def _lines(record: CompressionSensitivity, kind: str, title: str, read: Read, *, logarithmic: bool) -> Figure:
    rows = [row for row in record.rows if row.kind == kind]
    names = list(dict.fromkeys(row.name for row in rows))
    traces = [_line(at, [row for row in rows if row.name == name], read) for at, name in enumerate(names)]
    axis: dict[str, Any] = {"title": {"text": label(title)}}
    if logarithmic:
        axis |= {"type": "log", "exponentformat": "power"}
    elif record.value is not None:
        whole = {
            "x": [0, 100],
            "y": [finite(record.value)] * 2,
            "line": {"color": "@before", "width": 2, "dash": "dot"},
        }
        traces.append({"type": "scatter", "mode": "lines", "name": "original", **whole})
    what = "MACs of the layer that are left (%)" if kind == "low rank" else "units of the group that are left (%)"
    layout = {"xaxis": {"title": {"text": what}, "range": [0, 100]}, "yaxis": axis, "height": 520}
    return {"data": traces, "layout": layout}


def _line(at: int, rows: Sequence[OneCompressed], read: Read) -> dict[str, Any]:
    kind = at // COLOURS
    words = [f"{row.method} rank {row.left}" if row.method else f"{row.left} of {row.full} units" for row in rows]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(rows[0].name),
        "x": [finite(100 * row.kept) for row in rows],
        "y": [None if (value := read(row)) is None else finite(value) for row in rows],
        "text": [label(text) for text in words],
        "marker": {"size": 6, "symbol": SYMBOLS[kind % len(SYMBOLS)]},
        "line": {"width": 1.5, "dash": DASHES[kind % len(DASHES)]},
        "hovertemplate": "%{x} %: %{y}<br>%{text}<extra>%{fullData.name}</extra>",
    }
