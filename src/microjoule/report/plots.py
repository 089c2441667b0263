"""Records to figures: plain dictionaries in plotly's schema, which the page draws and any plotly can.

Colours are names ("@before", "@after", "@quiet" ...) that the page replaces by those of its light or dark theme.
Plotly reads some HTML in texts, so names of layers are escaped.
"""

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from microjoule.records.compared import Compared
from microjoule.records.facts import RangeFound
from microjoule.records.measured import ErrorsByLayer, Evaluated, Verified
from microjoule.records.stages import is_float

Figure = dict[str, Any]
"""{"data": traces, "layout": layout}."""

MOST_TICKS = 26
"""As many names as stand beside each other on a page."""

LONGEST_NAME = 22

Reach = tuple[float, float]
"""How far the interval of a value reaches below and above it."""

BESIDE: dict[str, Any] = {"type": "scatter", "hoverinfo": "skip", "showlegend": False}
"""A trace that says more of another."""

Show = Callable[[str], str]
"""A quantizer's name to what a reader sees."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One figure of several that share a place."""

    label: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its words, or several of which the reader chooses one.

    Args:
        name: unique in the page.
        title: what is seen.
        caption: how to read it.
        choices: the figures; one is the usual case.
        chosen: which of them is shown first.
        chooser: what is chosen ("layer"); empty for a single figure.
    """

    name: str
    title: str
    caption: str
    choices: tuple[Choice, ...]
    chosen: int = 0
    chooser: str = ""


def single(name: str, title: str, caption: str, figure: Figure) -> Plot:
    """A plot of one figure."""
    return Plot(name, title, caption, (Choice("", figure),))


def finite(value: float) -> float | None:
    """Four significant digits are more than a plot shows; JSON has no infinity, and a plot shows a gap there."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def label(name: str) -> str:
    """A name as plotly must get it, so that it is shown as it is."""
    return html.escape(name, quote=False)


def _short(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return label(name)
    # The end of a path tells layers apart; it is cut where a word begins, if one begins soon.
    end = name[1 - LONGEST_NAME :]
    word = re.search(r"^\w{0,8}?[._/]", end)
    return label("…" + end[word.end() if word else 0 :])


def layer_axis(names: Sequence[str]) -> dict[str, Any]:
    """Layers in the order of the network; where there are many, every second, third ... is named."""
    every = max(1, math.ceil(len(names) / MOST_TICKS))
    shown = range(0, len(names), every)
    return {
        "tickmode": "array",
        "tickvals": list(shown),
        "ticktext": [_short(names[index]) for index in shown],
        "tickangle": -50,
        "range": [-0.7, len(names) - 0.3],
        "showgrid": False,
    }


def _points(name: str, values: Sequence[float], texts: Sequence[str], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+lines",
        "name": label(name),
        "x": list(range(len(values))),
        "y": [finite(value) for value in values],
        "text": [label(text) for text in texts],
        "marker": {"color": colour, "size": 7},
        "line": {"color": colour, "width": 1},
    }


# Accuracy --------------------------------------------------------------------


def evaluation_bars(group: Sequence[Evaluated], result: str | None) -> Figure:
    """One bar a stage, in the order of the run from above; the result's stage stands out."""
    shown = list(reversed(group))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [finite(record.value) for record in shown],
        "y": list(range(len(shown))),
        "marker": {"color": [_stage_colour(record.stage, result) for record in shown]},
        "customdata": [label(record.stage) for record in shown],
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
        "width": 0.62,
    }
    axis = {
        "tickmode": "array",
        "tickvals": list(range(len(shown))),
        "ticktext": [_short(record.stage) for record in shown],
        "showgrid": False,
    }
    top = max((record.value for record in group if math.isfinite(record.value)), default=1.0)
    title = f"{group[0].metric} ({group[0].unit})" if group[0].unit else group[0].metric
    layout = {
        "xaxis": {"title": {"text": label(title)}, "range": [min(0.0, top), max(top, 0.0) * 1.14 or 1.0]},
        "yaxis": axis,
        "height": 90 + 38 * len(shown),
        "showlegend": False,
    }
    values, texts = [record.value for record in shown], [f"{record.value:.2f}" for record in shown]
    return {"data": [bars, *ends_of_bars(values, texts, [record.compared for record in shown])], "layout": layout}


def ends_of_bars(
    values: Sequence[float], texts: Sequence[str], found: Sequence[Compared | None], *, drops: bool = False
) -> list[dict[str, Any]]:
    """What stands at the ends of horizontal bars: the intervals of differences, and texts beyond them.

    Args:
        values: of the bars.
        texts: at their ends.
        found: what each bar's network differs by from another.
        drops: whether the bars are drops, and not values.
    """
    reaches = [reach_of(one, drops=drops) for one in found]
    ends = [finite(value + (reach[1] if reach else 0.0)) for value, reach in zip(values, reaches, strict=True)]
    labels = {
        **BESIDE,
        "mode": "text",
        "x": ends,
        "y": list(range(len(values))),
        "text": [f" {label(text)}" for text in texts],
        "textposition": "middle right",
        "cliponaxis": False,
    }
    return [*intervals(values, list(range(len(values))), reaches, across="x"), labels]


def intervals(
    values: Sequence[float], places: Sequence[float], reaches: Sequence[Reach | None], *, across: str
) -> list[dict[str, Any]]:
    """Thin lines over the intervals of some values; no trace if none has one.

    Args:
        values: as they are drawn.
        places: of each on the other axis.
        reaches: how far each interval reaches below and above its value.
        across: the axis of the values, "x" or "y".
    """
    known = [(value, place, reach) for value, place, reach in zip(values, places, reaches, strict=True) if reach]
    if not known:
        return []
    drawn, beside, sides = zip(*known, strict=True)
    shape = {"type": "data", "symmetric": False, "color": "@muted", "thickness": 1.5, "width": 4}
    error = {**shape, "array": [finite(high) for _, high in sides], "arrayminus": [finite(low) for low, _ in sides]}
    other = "y" if across == "x" else "x"
    marker = {"color": "@muted", "size": 3}
    ends = {across: [finite(value) for value in drawn], other: list(beside), f"error_{across}": error}
    return [{**BESIDE, "mode": "markers", "marker": marker, **ends}]


def reach_of(compared: Compared | None, *, drops: bool = False) -> Reach | None:
    """How far the interval of a difference reaches to each side; None if it has none.

    Args:
        compared: the difference.
        drops: whether drops are drawn, and not values.
    """
    if compared is None or compared.low is None or compared.high is None:
        return None
    sides = max(0.0, compared.difference - compared.low), max(0.0, compared.high - compared.difference)
    return sides[::-1] if drops and compared.higher_is_better else sides


def _stage_colour(stage: str, result: str | None) -> str:
    if is_float(stage):
        return "@quiet"
    return "@after" if result in (stage, None) else "@after-soft"


# Activations -----------------------------------------------------------------


def activation_ranges(ranges: Sequence[RangeFound], show: Show) -> Figure:
    """A bar from low to high for each activation quantizer, and a line over what was seen there."""
    names = [show(found.name) for found in ranges]
    sides = (
        ("range of the grid", [(found.low, found.high) for found in ranges], "@after", 0.72),
        ("seen", [(found.seen_low, found.seen_high) for found in ranges], "@before", 0.16),
    )
    layout = {
        "xaxis": layer_axis(names),
        "yaxis": {"title": {"text": "value"}, "zeroline": True},
        "barmode": "overlay",
        "height": 440,
    }
    return {"data": [_floating_bars(names, *side) for side in sides], "layout": layout}


def _floating_bars(
    names: Sequence[str], title: str, ranges: Sequence[tuple[float, float]], colour: str, width: float
) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": title,
        "x": list(range(len(names))),
        "base": [finite(low) for low, _ in ranges],
        "y": [finite(high - low) for low, high in ranges],
        "customdata": [
            [label(name), finite(low), finite(high)] for name, (low, high) in zip(names, ranges, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]} to %{customdata[2]}<extra>%{fullData.name}</extra>",
        "marker": {"color": f"{colour}-soft" if width > 0.5 else colour, "line": {"color": colour, "width": 1}},
        "width": width,
    }


# Error -----------------------------------------------------------------------


def errors_by_layer(records: Sequence[ErrorsByLayer], show: Show) -> Figure:
    """The SQNR along the network, a line a stage; the latest is drawn in the colour of results."""
    longest = max(records, key=lambda record: len(record.layers))
    names = [layer.name for layer in longest.layers]
    places = {name: index for index, name in enumerate(names)}
    traces = []
    for index, record in enumerate(records):
        colour = "@after" if index == len(records) - 1 else "@before" if index == 0 else "@quiet"
        known = [layer for layer in record.layers if layer.name in places]
        trace = _points(
            record.stage or "quantized",
            [layer.sqnr_db for layer in known],
            [show(layer.name) for layer in known],
            colour,
        )
        trace["x"] = [places[layer.name] for layer in known]
        trace["hovertemplate"] = "%{text}<br>%{y:.1f} dB<extra></extra>"
        traces.append(trace)
    layout = {
        "xaxis": layer_axis([show(name) for name in names]),
        "yaxis": {"title": {"text": "SQNR (dB)"}, "rangemode": "tozero"},
        "height": 420,
        "showlegend": len(records) > 1,
    }
    return {"data": traces, "layout": layout}


# Deployment ------------------------------------------------------------------


def agreement_by_layer(record: Verified, show: Show) -> Figure:
    """Along the network, the share of values that are equal and that are at most one step apart."""
    names = [show(layer.name) for layer in record.layers]
    equal = _points("equal", [100 * layer.equal_share for layer in record.layers], names, "@before")
    within = _points("within one step", [100 * layer.within_one_step_share for layer in record.layers], names, "@after")
    equal["marker"]["symbol"] = "circle-open"
    for trace in (equal, within):
        trace["hovertemplate"] = "%{text}<br>%{y:.4g} %<extra>%{fullData.name}</extra>"
    shares = [share for layer in record.layers for share in (layer.equal_share, layer.within_one_step_share)]
    lowest = min((share for share in shares if math.isfinite(share)), default=0.0)
    # A little room above and below, so that points at 100 % are seen whole; never a range of nothing.
    low = 100 * min(lowest, 0.99)
    margin = (100 - low) * 0.06
    layout = {
        "xaxis": layer_axis(names),
        "yaxis": {"title": {"text": "values (%)"}, "range": [low - margin, 100 + margin]},
        "height": 420,
    }
    return {"data": [equal, within], "layout": layout}
