"""Accuracy against cost: a point for each budget, all measured, and the line through those that no other beats."""

from typing import Any

from microjoule.records.decided import FrontPoint, ParetoFront
from microjoule.report import units
from microjoule.report.plots import Plot, finite, intervals, label, reach_of, single
from microjoule.report.tables import Cell, Column, Table, change_cells, change_columns, number, word
from microjoule.report.units import many


def front_plot(record: ParetoFront) -> Plot:
    """The metric of every budget against what its network costs."""
    metric = units.with_unit(record.metric, record.unit)
    ends = sorted(point.spent for point in record.points)
    front = [point for point in record.points if point.on_front]
    others = [point for point in record.points if not point.on_front]
    traces = [_trace("on the front", front, record, "lines+markers", "@after")]
    if others:
        traces.append(_trace("beaten by another", others, record, "markers", "@quiet"))
    reaches = [reach_of(point.compared) for point in record.points]
    places = [point.spent for point in record.points]
    traces += intervals([point.value for point in record.points], places, reaches, across="y")
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
    caption = (
        "Each point is a network that was made for its budget and scored. Upper left is better. Thin lines are 95 % "
        "intervals of the difference to FP32."
    )
    return single("front", "Accuracy against cost", caption, {"data": [*traces, floating], "layout": layout})


def front_table(record: ParetoFront) -> Table:
    """A row for each budget."""
    chosen = any(point.chosen_value is not None for point in record.points)
    compared = any(point.compared is not None for point in record.points)
    metric = f"{record.metric}, {units.score(record.fp_value, record.unit)} before"
    columns = (
        Column("budget"),
        Column(units.cost_name(record.cost), numeric=True),
        *((Column("chosen by", numeric=True),) if chosen else ()),
        Column(metric, numeric=True),
        *(change_columns("change") if compared else ()),
        Column(""),
    )
    rows = tuple(
        (
            word(point.budget),
            number(point.spent, units.amount(point.spent, record.cost_unit)),
            *((_score(point.chosen_value, record),) if chosen else ()),
            _score(point.value, record),
            *(change_cells(point.compared, record.unit) if compared else ()),
            word("" if point.on_front else "beaten by another"),
        )
        for point in record.points
    )
    return Table(f"Accuracy against cost, {many(record.samples, 'sample')}", columns, rows)


def _score(value: float | None, record: ParetoFront) -> Cell:
    return number(value, "" if value is None else units.score(value, record.unit))


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
