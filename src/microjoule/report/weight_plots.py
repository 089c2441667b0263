"""The weights of each channel before and after equalization: the picture that shows why one scale a tensor fails."""

import statistics
from collections.abc import Sequence
from typing import Any

from microjoule.records.facts import Spread, WeightRanges
from microjoule.report import units
from microjoule.report.plots import Choice, Figure, Plot, finite, label, layer_axis

MOST_BOXES = 64
"""More boxes than this in half a page cannot be told apart; bands are drawn then."""

DOMAINS = ((0.0, 0.46), (0.54, 1.0))


def reach(spread: Spread) -> float:
    """How far a channel's weights reach from 0."""
    return max(abs(spread.low), abs(spread.high))


def imbalance(channels: Sequence[Spread]) -> float | None:
    """The widest channel over the median one; None if all weights are zero.

    With one scale a tensor the widest channel sets the step, so the median channel has this many times fewer steps.
    """
    reaches = [found for spread in channels if (found := reach(spread)) > 0]
    return max(reaches) / statistics.median(reaches) if reaches else None


def weights_by_layer(before: WeightRanges, after: WeightRanges) -> Plot | None:
    """For each layer its channels at both stages; the layer that is most out of balance is shown first."""
    known = [layer for layer, channels in before.layers.items() if channels and after.layers.get(layer)]
    if not known:
        return None
    ratios = [imbalance(before.layers[layer]) or 0.0 for layer in known]
    choices = [
        Choice(
            f"{layer} ({len(before.layers[layer])} channels, {units.times(ratio)})",
            channels_at_both(before, after, layer),
        )
        for layer, ratio in zip(known, ratios, strict=True)
    ]
    return Plot(
        "weights",
        "Weights of each output channel",
        "Each axis spans what one scale for the whole tensor has to cover. Where a few channels reach far and the "
        "others are thin lines around zero, the others are left with a handful of steps. Boxes show the quartiles, "
        "whiskers the smallest and largest weight; from 65 channels on, bands show the same.",
        tuple(choices),
        chosen=ratios.index(max(ratios)),
        chooser="Layer",
    )


def imbalance_by_layer(before: WeightRanges, after: WeightRanges) -> Figure:
    """For each layer a line from the imbalance before to that after, on a logarithmic axis."""
    names = [layer for layer in before.layers if layer in after.layers]
    pairs = [(imbalance(before.layers[layer]), imbalance(after.layers[layer])) for layer in names]
    stems: dict[str, Any] = {"x": [], "y": []}
    for index, (first, second) in enumerate(pairs):
        if first is not None and second is not None:
            stems["x"] += [index, index, None]
            stems["y"] += [finite(first), finite(second), None]
    lines = {
        "type": "scatter",
        "mode": "lines",
        "line": {"color": "@line", "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
        **stems,
    }
    dots = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label(stage),
            "x": list(range(len(names))),
            "y": [None if ratio is None else finite(ratio) for ratio in (pair[side] for pair in pairs)],
            "text": [label(name) for name in names],
            "hovertemplate": "%{text}<br>%{y:.3g}×<extra>%{fullData.name}</extra>",
            "marker": {"color": colour, "size": 9, "symbol": symbol, "line": {"width": 1.6, "color": colour}},
        }
        for side, (stage, colour, symbol) in enumerate(
            ((before.stage, "@before", "circle-open"), (after.stage, "@after", "circle"))
        )
    ]
    axis = {"title": {"text": "widest / median channel"}, "type": "log", **_factors()}
    return {"data": [lines, *dots], "layout": {"xaxis": layer_axis(names), "yaxis": axis, "height": 460}}


def _factors() -> dict[str, Any]:
    values = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}×" for value in values]}


def channels_at_both(before: WeightRanges, after: WeightRanges, layer: str) -> Figure:
    """One layer's channels, before on the left and after on the right, each with its own axis."""
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": 430,
        "margin": {"l": 56, "r": 16, "t": 48, "b": 48},
        "showlegend": False,
        "annotations": [],
    }
    for side, (stage, colour) in enumerate(((before, "@before"), (after, "@after"))):
        number = "" if side == 0 else "2"
        channels = stage.layers[layer]
        draw = _boxes if len(channels) <= MOST_BOXES else _bands
        traces += [{**trace, "xaxis": f"x{number}", "yaxis": f"y{number}"} for trace in draw(channels, colour)]
        layout[f"xaxis{number}"] = {
            "domain": list(DOMAINS[side]),
            "anchor": f"y{number}",
            "title": {"text": "output channel"},
            "showgrid": False,
            "range": [-0.6, len(channels) - 0.4],
        }
        layout[f"yaxis{number}"] = {"anchor": f"x{number}", "zeroline": True}
        layout["annotations"].append(_heading(stage.stage, DOMAINS[side][0], imbalance(channels)))
    layout["yaxis"]["title"] = {"text": "weight"}
    return {"data": traces, "layout": layout}


def _heading(stage: str, left: float, ratio: float | None) -> dict[str, Any]:
    told = "all zero" if ratio is None else f"widest / median {units.times(ratio)}"
    return {
        "text": f"<b>{label(stage)}</b><br>{told}",
        "x": left,
        "y": 1.02,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "align": "left",
    }


def _columns(channels: Sequence[Spread]) -> dict[str, list[float | None]]:
    return {
        name: [finite(getattr(spread, name)) for spread in channels]
        for name in ("low", "lower_quartile", "median", "upper_quartile", "high")
    }


def _boxes(channels: Sequence[Spread], colour: str) -> list[dict[str, Any]]:
    columns = _columns(channels)
    return [
        {
            "type": "box",
            "x": list(range(len(channels))),
            "lowerfence": columns["low"],
            "q1": columns["lower_quartile"],
            "median": columns["median"],
            "q3": columns["upper_quartile"],
            "upperfence": columns["high"],
            "line": {"color": colour, "width": 1.2},
            "fillcolor": f"{colour}-soft",
            "whiskerwidth": 0.4,
            "hoverinfo": "x+y",
        }
    ]


def _bands(channels: Sequence[Spread], colour: str) -> list[dict[str, Any]]:
    columns = _columns(channels)

    def line(name: str, *, width: float = 0, **more: Any) -> dict[str, Any]:
        base = {"type": "scatter", "mode": "lines", "x": list(range(len(channels))), "y": columns[name]}
        shape = {"color": colour, "width": width, "shape": "hvh"}
        return {**base, "line": shape, "name": name.replace("_", " "), **more}

    fill: dict[str, Any] = {"fill": "tonexty", "fillcolor": f"{colour}-soft"}
    return [
        line("low", width=0.6),
        line("high", width=0.6, **fill),
        line("lower_quartile"),
        line("upper_quartile", **fill),
        line("median", width=1.2),
    ]
