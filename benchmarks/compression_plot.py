"""Accuracy over what is left of the work, and over measured milliseconds: one page of plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from microjoule.records.files import write_atomically


@dataclass(frozen=True, slots=True)
class Point:
    """One network after compression.

    Args:
        network: which one.
        tool: what made it smaller, and the share that was asked for.
        accuracy: in per cent.
        left: the share of multiply-accumulates.
        latency_ms: in FP32.
        integer_accuracy: after quantization to int8.
        integer_latency_ms: likewise.
    """

    network: str
    tool: str
    accuracy: float
    left: float
    latency_ms: float
    integer_accuracy: float
    integer_latency_ms: float


def draw(points: Sequence[Point], path: Path) -> None:
    """Write the page: a row for each network, accuracy over work on the left and over milliseconds on the right.

    Args:
        points: of all networks.
        path: the HTML file.
    """
    names = list(dict.fromkeys(point.network for point in points))
    tools = list(dict.fromkeys(point.tool for point in points))
    colours = dict(zip(tools, cycle(qualitative.Plotly), strict=False))
    titles = [f"{name}: accuracy over {what}" for name in names for what in ("share of MACs", "milliseconds")]
    spacing = 0.25 / max(1, len(names))
    figure = make_subplots(rows=len(names), cols=2, subplot_titles=titles, vertical_spacing=spacing)
    for row, name in enumerate(names, 1):
        for point in (point for point in points if point.network == name):
            xs, ys = [point.latency_ms, point.integer_latency_ms], [point.accuracy, point.integer_accuracy]
            marks: dict[str, Any] = {"mode": "markers", "name": point.tool, "legendgroup": point.tool}
            marks |= {"text": [f"{point.tool}, {kind}" for kind in ("FP32", "int8")]}
            marks |= {"marker": {"color": colours[point.tool], "symbol": ["circle", "diamond"], "size": 9}}
            figure.add_trace(go.Scatter(x=[point.left], y=ys[:1], **marks, showlegend=False), row=row, col=1)
            figure.add_trace(go.Scatter(x=xs, y=ys, **marks, showlegend=row == 1), row=row, col=2)
        figure.update_xaxes(title_text="share of the multiply-accumulates", row=row, col=1)
        figure.update_xaxes(title_text="milliseconds, circles FP32, diamonds int8", row=row, col=2)
        figure.update_yaxes(title_text="accuracy (%)", row=row)
    figure.update_layout(height=420 * max(1, len(names)), title="One shot, nothing trained")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, figure.to_html(include_plotlyjs=True).encode())
