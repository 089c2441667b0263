"""What a command prints: tables for people, or one JSON document for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from microjoule.cli import streams
from microjoule.records.facts import Record
from microjoule.records.json_io import to_json
from microjoule.report import units
from microjoule.report.notices import notices
from microjoule.report.tables import Column, word
from microjoule.report.tables import Table as Plain
from microjoule.report.terminal import rich_table

WIDE = 160
"""Columns where the output is a file or a pipe, which do not fold."""


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


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
        streams.document(json.dumps(document, indent=1, allow_nan=False))
        return
    for noticed in notices(records):
        if not noticed.serious:  # warnings were told when they came up
            console().print(f"Note: {noticed}", markup=False, style="dim")
    for part in shown:
        console().print(part, markup=False)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts; the first column is on the left, the others are figures."""
    heads = tuple(Column(name, numeric=index > 0) for index, name in enumerate(columns))
    return rich_table(Plain(title, heads, tuple(tuple(word(text) for text in row) for row in rows)))


def written_table(files: Mapping[Path, str]) -> Table:
    """The files that a command wrote, with their sizes.

    Args:
        files: what is in each.
    """
    rows = [(str(path), units.size(path.stat().st_size), content) for path, content in files.items()]
    heads = (Column("file"), Column("size", numeric=True), Column("what it is"))
    return rich_table(Plain("Files", heads, tuple(tuple(word(text) for text in row) for row in rows)))
