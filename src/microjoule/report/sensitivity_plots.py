"""What hurts, drawn along the network: each quantizer alone, a trace for each kind and width."""

from collections.abc import Callable, Sequence
from typing import Any

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.report import units
from microjoule.report.plots import Choice, Figure, Plot, Show, finite, label, layer_axis

COLOURS = {"weight": "@before", "activation": "@after"}
SYMBOLS = ("circle", "circle-open", "diamond", "diamond-open", "square", "square-open")
"""By width, the narrowest first."""

Read = Callable[[Sensitivity], float | None]


def sensitivity_plot(record: Sensitivities, show: Show) -> Plot | None:
    """The figures that the record has numbers for; None if it has none."""
    metric = units.with_unit(record.metric, record.unit)
    measures: tuple[tuple[str, str, Read, bool], ...] = (
        ("KL to FP32", "KL (nats)", lambda row: row.kl, True),
        ("SQNR of the output", "SQNR (dB)", lambda row: row.sqnr_db, False),
        (record.metric, metric, lambda row: row.value, False),
        ("Estimate from gradients", "estimate", lambda row: row.proxy, True),
    )
    choices = tuple(
        Choice(name, sensitivity_by_layer(record.rows, show, title, read, logarithmic=logarithmic))
        for name, title, read, logarithmic in measures
        if any(read(row) is not None for row in record.rows)
    )
    if not choices:
        return None
    caption = "One quantizer is on, all others are off. A layer whose points stand apart needs bits, or another remedy."
    return Plot("sensitivity", "What each quantizer alone does", caption, choices, chooser="Measure")


def sensitivity_by_layer(
    rows: Sequence[Sensitivity], show: Show, title: str, read: Read, *, logarithmic: bool
) -> Figure:
    """One measure along the network, a trace for each kind and width.

    Args:
        rows: in the order of the network.
        show: a name to what a reader sees.
        title: of the vertical axis.
        read: the measure in a row.
        logarithmic: whether the vertical axis is; numbers of 0 or less are gaps then.
    """
    names = list(dict.fromkeys(show(row.layer or row.name) for row in rows))
    places = {name: index for index, name in enumerate(names)}
    widths = sorted({row.bits for row in rows})
    traces = []
    for kind, colour in COLOURS.items():
        for index, width in enumerate(widths):
            chosen = [row for row in rows if (row.kind, row.bits) == (kind, width)]
            if chosen:
                symbol = SYMBOLS[index % len(SYMBOLS)]
                points = [(show(row.layer or row.name), read(row)) for row in chosen]
                traces.append(_trace(f"{kind}, {width} bits", points, places, colour, symbol, logarithmic=logarithmic))
    axis: dict[str, Any] = {"title": {"text": label(title)}}
    if logarithmic:
        axis |= {"type": "log", "exponentformat": "power"}
    return {"data": traces, "layout": {"xaxis": layer_axis(names), "yaxis": axis, "height": 440}}


def _trace(
    name: str,
    points: Sequence[tuple[str, float | None]],
    places: dict[str, int],
    colour: str,
    symbol: str,
    *,
    logarithmic: bool,
) -> dict[str, Any]:
    seen = [None if value is None or (logarithmic and value <= 0) else finite(value) for _, value in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [places[place] for place, _ in points],
        "y": seen,
        "text": [label(place) for place, _ in points],
        "marker": {"color": colour, "size": 8, "symbol": symbol},
        "hovertemplate": "%{text}<br>%{y:.4g}<extra>%{fullData.name}</extra>",
    }
