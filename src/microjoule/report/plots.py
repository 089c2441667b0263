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
        "text": [f"{record.value:.2f}" for record in shown],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [_stage_colour(record.stage, result) for record in shown]},
        "customdata": [label(record.stage) for record in shown],
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
        "width": 0.62,
    }
    if any(record.compared is not None and record.compared.standard_error is not None for record in shown):
        bars["error_x"] = error_bars([record.compared for record in shown])
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
    return {"data": [bars], "layout": layout}


def error_bars(found: Sequence[Compared | None], *, drops: bool = False) -> dict[str, Any]:
    """From the one end of a difference's interval to the other; nothing where there is no error.

    Args:
        found: what each point differs by.
        drops: whether the points are drops, and not values.
    """
    ends = [_ends(one) for one in found]
    if drops:
        turned = [one is not None and one.higher_is_better for one in found]
        ends = [pair[::-1] if turn else pair for pair, turn in zip(ends, turned, strict=True)]
    shape = {"color": "@muted", "thickness": 1.5, "width": 4}
    sides = {"array": [high for _, high in ends], "arrayminus": [low for low, _ in ends]}
    return {"type": "data", "symmetric": False, **sides, **shape}


def _ends(compared: Compared | None) -> tuple[float | None, float | None]:
    """How far the interval reaches below and above the difference."""
    if compared is None or compared.low is None or compared.high is None:
        return None, None
    return finite(max(0.0, compared.difference - compared.low)), finite(max(0.0, compared.high - compared.difference))


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
