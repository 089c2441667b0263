"""Accuracy over what is left of the work, and over measured milliseconds: one page of plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
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
    titles = [f"{name}: accuracy over {what}" for name in names for what in ("share of MACs", "milliseconds")]
    figure = make_subplots(rows=len(names), cols=2, subplot_titles=titles)
    for row, name in enumerate(names, 1):
        for point in (point for point in points if point.network == name):
            line = (
                ("FP32", point.accuracy, point.latency_ms),
                ("int8", point.integer_accuracy, point.integer_latency_ms),
            )
            words = [f"{point.tool}, {kind}" for kind, _, _ in line]
            ys, marks = [y for _, y, _ in line], {"text": words, "mode": "markers", "name": point.tool}
            figure.add_trace(go.Scatter(x=[point.left], y=ys[:1], **marks, showlegend=False), row=row, col=1)
            figure.add_trace(go.Scatter(x=[x for _, _, x in line], y=ys, **marks, showlegend=row == 1), row=row, col=2)
    figure.update_layout(height=380 * max(1, len(names)), title="One shot, nothing trained")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, figure.to_html(include_plotlyjs=True).encode())
