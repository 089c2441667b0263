"""A search for the cheapest network within a drop: each attempt, what it lost, what it costs, and how long it took."""

from collections.abc import Sequence

from microjoule.records.compared import MET, UNDECIDED, Compared
from microjoule.records.decided import Reached, Tried
from microjoule.report import units
from microjoule.report.comparisons import counts
from microjoule.report.plots import Choice, Figure, Plot, ends_of_bars, finite, label
from microjoule.report.tables import MISSING, Cell, Column, Table, number, word
from microjoule.report.units import many


def attempts_table(record: Reached) -> Table:
    """A row an attempt, in the order in which they were made."""
    rows = []
    best: float | None = None
    for tried in record.attempts:
        gain = None if best is None or tried.drop is None else best - tried.drop
        rows.append(_row(tried, record, gain))
        best = min((drop for drop in (best, tried.drop) if drop is not None), default=None)
    titles = ("attempt", "weights", "activations", record.metric, "drop", "gain", record.cost, "to FP32", "time")
    columns = (*(Column(title, numeric=at > 0) for at, title in enumerate(titles)), Column("why"))
    return Table("Attempts", columns, tuple(rows))


def _row(tried: Tried, record: Reached, gain: float | None) -> tuple[Cell, ...]:
    value, drop, unit = tried.value, tried.drop, record.unit
    tone = "" if drop is None else "good" if drop <= record.drop else "bad"
    ratio = None if tried.cost is None or not record.fp_cost else tried.cost / record.fp_cost
    return (
        word(tried.name),
        _widths(tried.weights),
        _widths(tried.activations),
        MISSING if value is None else number(value, units.score(value, unit)),
        MISSING if drop is None else Cell(_drop(drop, tried.compared, unit), drop, tone=tone),
        MISSING if gain is None else number(gain, units.difference(gain, unit)),
        MISSING if tried.cost is None else number(tried.cost, amount(tried.cost, record)),
        MISSING if ratio is None else number(ratio, units.times(ratio)),
        number(tried.seconds, units.duration(tried.seconds)),
        word(tried.reason),
    )


def _drop(drop: float, compared: Compared | None, unit: str) -> str:
    """A drop with its standard error, where that is known."""
    return units.with_error(drop, None if compared is None else compared.standard_error, unit).removeprefix("+")


def _widths(bits: Sequence[int]) -> Cell:
    return Cell(", ".join(map(str, bits)), min(bits)) if bits else MISSING


def amount(cost: float, record: Reached) -> str:
    """A cost with its unit, as people read it."""
    return units.amount(cost, record.cost_unit)


def attempts_plot(record: Reached) -> Plot:
    """The drop of each attempt against the one that is allowed, and the time that each took."""
    drop = units.with_unit(f"drop of {record.metric}", record.unit)
    made = [tried for tried in record.attempts if tried.drop is not None]
    lost = _bars(made, [tried.drop or 0.0 for tried in made], drop, record, [tried.compared for tried in made])
    lost["data"].append(_limit(record, len(made)))
    time = _bars(record.attempts, [tried.seconds for tried in record.attempts], "time (s)", record, None)
    caption = (
        "The first attempt is above, scored on the samples that it is chosen by. The line is the drop that is allowed; "
        "left of it is good enough. Thin lines are 95 % intervals."
    )
    return Plot("attempts", "Each attempt", caption, (Choice("Drop", lost), Choice("Time", time)), chooser="Measure")


def _bars(
    attempts: Sequence[Tried],
    values: Sequence[float],
    title: str,
    record: Reached,
    compared: Sequence[Compared | None] | None,
) -> Figure:
    """One bar an attempt, the first above; the one that was taken stands out."""
    names = [tried.name for tried in reversed(attempts)]
    shown = list(reversed(values))
    found = [None] * len(shown) if compared is None else list(reversed(compared))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [finite(value) for value in shown],
        "y": list(range(len(shown))),
        "marker": {"color": ["@after" if name == record.chosen else "@after-soft" for name in names]},
        "customdata": [label(name) for name in names],
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
        "width": 0.62,
    }
    ticks = {"tickmode": "array", "tickvals": bars["y"], "ticktext": bars["customdata"], "showgrid": False}
    axis = {"title": {"text": label(title)}}
    ends = ends_of_bars(shown, [units.digits(value) for value in shown], found, drops=True)
    return {
        "data": [bars, *ends],
        "layout": {"xaxis": axis, "yaxis": ticks, "height": 90 + 38 * len(shown), "showlegend": False},
    }


def _limit(record: Reached, bars: int) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "allowed",
        "x": [finite(record.drop)] * 2,
        "y": [-0.6, bars - 0.4],
        "line": {"color": "@before", "width": 2},
        "hovertemplate": "allowed: %{x}<extra></extra>",
    }


def outcome(record: Reached) -> str:
    """What the search came to, as a sentence or two."""
    taken = record.taken
    allowed = units.difference(record.drop, record.unit).removeprefix("+")
    told = f"{record.metric} may drop by {allowed}: {record.reason}, on {many(record.samples, 'sample')}."
    if taken.drop is None or taken.cost is None:
        return told
    costs = f"{amount(taken.cost, record)} of {record.cost} instead of {amount(record.fp_cost, record)}"
    drop = _drop(taken.drop, taken.compared, record.unit)
    if record.confirmed is None:
        return f"{told} {taken.stage} drops by {drop}, at {costs}."
    confirmed = record.confirmed
    drop = _drop(confirmed.drop, confirmed, record.unit)
    found = f"{taken.stage} drops by {drop}, {counts(confirmed)}: {_kept(record)}"
    return f"{told} On others, that nothing was chosen by, {found}. It takes {costs}."


def _kept(record: Reached) -> str:
    """Whether the drop is kept, and where that is within the error, what would decide it."""
    if record.verdict != UNDECIDED or record.confirmed is None:
        return f"the drop that is allowed is {'kept' if record.verdict == MET else 'not kept'}"
    told = f"the drop that is allowed is {'kept' if record.met else 'not kept'} as measured, but undecided"
    if record.confirmed.standard_error is None:
        return f"{told}, as {record.confirmed.method}"
    needed = record.samples_to_decide
    if needed is None or needed <= record.confirmed.samples:
        return told
    return f"{told}; about {units.rough(needed)} samples would decide"
