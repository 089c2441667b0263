"""Records on a terminal, as rich tables with the rows of the page."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from microjoule.records.facts import Record
from microjoule.records.measured import Verified
from microjoule.report.choose import every
from microjoule.report.deployment import agreements, verdict
from microjoule.report.headline import cards
from microjoule.report.history import history
from microjoule.report.layers import layers
from microjoule.report.notices import notices_table
from microjoule.report.tables import Cell, Column, Table, evaluations, measurements, metrics, word

STYLES = {"good": "green", "bad": "bold red", "": ""}


def rich_table(table: Table) -> RichTable:
    """A table for the terminal; names of layers are shown as they are, never read as markup."""
    shown = RichTable(
        title=Text(table.title, style="bold"), title_justify="left", header_style="dim", box=None, padding=(0, 2, 0, 0)
    )
    for column in table.columns:
        title = f"{column.title} ({column.unit})" if column.unit else column.title
        shown.add_column(Text(title), justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(cell.text, style=STYLES[cell.tone]) for cell in row))
    return shown


def headline_table(records: Sequence[Record]) -> Table:
    """The cards of the page as rows."""
    columns = (Column(""), Column("result", numeric=True), Column("change", numeric=True), Column("before"))
    rows = tuple(
        (word(card.label), word(card.value), Cell(card.change, card.change, tone=card.tone), word(card.before))
        for card in cards(records)
    )
    return Table("Result", columns, rows)


def history_table(records: Sequence[Record]) -> Table:
    """What was done, a line each, with how many places were skipped."""
    rows = tuple(
        (word(step.title), word(step.summary), Cell(str(len(step.skipped) or ""), len(step.skipped)))
        for step in history(records)
    )
    return Table("Steps", (Column("step"), Column("outcome"), Column("skipped", numeric=True)), rows)


def summary(records: Sequence[Record], *, by_layer: bool = False) -> Group:
    """All that a terminal has room for: warnings, the headline, the stages, what was measured and verified.

    Args:
        records: what a run found.
        by_layer: show the table of layers too.
    """
    tables = [
        notices_table(records),
        headline_table(records),
        *(evaluations(group) for group in metrics(records)),
        measurements(records),
    ]
    if every(records, Verified):
        tables.append(agreements(records))
    found = layers(records) if by_layer else None
    shown: list[RenderableType] = [rich_table(table) for table in [*tables, *([found] if found else [])] if table.rows]
    spaced = [part for table in shown for part in (table, Text())]
    return Group(*spaced, *(Text(verdict(record)) for record in every(records, Verified)))
