"""Accuracy against cost: a point for each budget, all measured, and the line through those that no other beats."""

from typing import Any

from microjoule.records.decided import FrontPoint, ParetoFront
from microjoule.report import units
from microjoule.report.plots import Plot, finite, label, single
from microjoule.report.tables import Column, Table, number, word


def front_plot(record: ParetoFront) -> Plot:
    """The metric of every budget against what its network costs."""
    metric = units.with_unit(record.metric, record.unit)
    ends = sorted(point.spent for point in record.points)
    front = [point for point in record.points if point.on_front]
    others = [point for point in record.points if not point.on_front]
    traces = [_trace("on the front", front, record, "lines+markers", "@after")]
    if others:
        traces.append(_trace("beaten by another", others, record, "markers", "@quiet"))
    floating = {
        "type": "scatter",
        "mode": "lines",
        "name": "FP32",
        "x": [finite(ends[0]), finite(ends[-1])],
        "y": [finite(record.fp_value)] * 2,
        "line": {"color": "@before", "width": 2, "dash": "dot"},
        "hovertemplate": "FP32: %{y}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": label(units.cost_axis(record.cost, record.cost_unit))}},
        "yaxis": {"title": {"text": label(metric)}},
        "height": 420,
    }
    caption = "Each point is a network that was made for its budget and scored. Upper left is better."
    return single("front", "Accuracy against cost", caption, {"data": [*traces, floating], "layout": layout})


def front_table(record: ParetoFront) -> Table:
    """A row for each budget."""
    metric = f"{record.metric}, {units.score(record.fp_value, record.unit)} before"
    columns = (
        Column("budget"),
        Column(units.cost_name(record.cost), numeric=True),
        Column(metric, numeric=True),
        Column(""),
    )
    rows = tuple(
        (
            word(point.budget),
            number(point.spent, units.amount(point.spent, record.cost_unit)),
            number(point.value, units.score(point.value, record.unit)),
            word("" if point.on_front else "beaten by another"),
        )
        for point in record.points
    )
    return Table("Accuracy against cost", columns, rows)


def _trace(name: str, points: list[FrontPoint], record: ParetoFront, mode: str, colour: str) -> dict[str, Any]:
    words = [f"{point.budget}: {units.amount(point.spent, record.cost_unit)}" for point in points]
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [finite(point.spent) for point in points],
        "y": [finite(point.value) for point in points],
        "text": [label(text) for text in words],
        "marker": {"color": colour, "size": 9},
        "line": {"color": colour, "width": 2},
        "hovertemplate": "%{text}<br>%{y}<extra>%{fullData.name}</extra>",
    }
