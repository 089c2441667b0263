"""What a command prints: tables for people, or one JSON document for machines."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from microjoule.records.facts import Record
from microjoule.records.json_io import to_json
from microjoule.report.notices import notices
from microjoule.report.tables import Column, word
from microjoule.report.tables import Table as Plain
from microjoule.report.terminal import rich_table

WIDE = 160
"""Columns where the output is a file or a pipe, which do not fold."""


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def warn(text: str) -> None:
    """A line on standard error, so that it is in nobody's JSON."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False, style="yellow")


def finish(records: Sequence[Record], *shown: RenderableType, as_json: bool, **facts: Any) -> None:
    """Print the outcome of a command.

    Args:
        records: what it found.
        shown: the same for people.
        as_json: print {**facts, "records": [...]} and nothing else.
        facts: what a machine may want beside the records; plain values.
    """
    if as_json:
        document = {**facts, "records": json.loads(to_json(list(records)))}
        print(json.dumps(document, indent=1, allow_nan=False))
        return
    for noticed in notices(records):
        style = "bold red" if noticed.serious else "dim"
        console().print(f"{'Warning' if noticed.serious else 'Note'}: {noticed}", markup=False, style=style)
    for part in shown:
        console().print(part, markup=False)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts; the first column is on the left, the others are figures."""
    heads = tuple(Column(name, numeric=index > 0) for index, name in enumerate(columns))
    return rich_table(Plain(title, heads, tuple(tuple(word(text) for text in row) for row in rows)))
