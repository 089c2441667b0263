"""Values against their grids: which steps are used, and what is clipped."""

from collections.abc import Sequence

from microjoule.records.analysed import GridHistogram, GridHistograms
from microjoule.report import units
from microjoule.report.plots import Choice, Figure, Plot, Show, finite

COLOURS = {"weight": "@before", "activation": "@after"}


def histograms_plot(record: GridHistograms, show: Show) -> Plot:
    """A figure for each quantizer, that which clips most first shown."""
    rows = record.quantizers
    choices = tuple(Choice(_label(row, show), histogram(row)) for row in rows)
    caption = (
        "Values in steps of the grid: the shaded part is the grid, what lies beside it is clipped to its end. The "
        "outermost bars hold all that lies further out."
    )
    return Plot("histograms", "Values on their grid", caption, choices, rows.index(most_clipped(rows)), "Quantizer")


def most_clipped(rows: Sequence[GridHistogram]) -> GridHistogram:
    """The quantizer that clips the largest share of its values; the first of equals."""
    return max(rows, key=lambda row: row.clipped)


def used(row: GridHistogram) -> float:
    """The share of the grid's bins that at least one value falls into."""
    inside = [share for number, share in enumerate(row.shares) if row.low <= row.start + number * row.width <= row.high]
    return sum(share > 0 for share in inside) / len(inside)


def histogram(row: GridHistogram) -> Figure:
    """Bars at the steps, the grid shaded."""
    starts = [row.start + number * row.width for number in range(len(row.shares))]
    middles = [start + (row.width - 1) / 2 for start in starts]
    bars = {
        "type": "bar",
        "x": middles,
        "y": [finite(100 * share) for share in row.shares],
        "width": row.width * 0.92,
        "marker": {"color": COLOURS[row.kind]},
        "hovertemplate": "step %{x}: %{y:.3g} %<extra></extra>",
    }
    shaded = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0}, "layer": "below"}
    grid = {**shaded, "x0": row.low - 0.5, "x1": row.high + 0.5, "fillcolor": "@quiet", "opacity": 0.18}
    told = f"{units.percent(row.clipped)} clipped, {units.percent(used(row))} of the grid used"
    layout = {
        "height": 360,
        "showlegend": False,
        "shapes": [grid],
        "xaxis": {"title": {"text": f"step of {row.bits} bits ({told})"}, "zeroline": False},
        "yaxis": {"title": {"text": "values (%)"}},
    }
    return {"data": [bars], "layout": layout}


def _label(row: GridHistogram, show: Show) -> str:
    return f"{show(row.name)}, {row.kind}"
