"""Records to one HTML page that needs nothing else: no network, no folder beside it."""

import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from microjoule.errors import DataError
from microjoule.records.facts import Record
from microjoule.records.files import write_atomically
from microjoule.report.headline import cards, lead
from microjoule.report.plots import Figure
from microjoule.report.sections import Section, sections

PACKAGE = "microjoule.report"


def report(records: Sequence[Record], path: str | os.PathLike[str], *, title: str = "Quantization report") -> Path:
    """Write what a run found as one self-contained page.

    Args:
        records: what a run found, in the order it was found; a network's history is such a sequence.
        path: the HTML file.
        title: the page's heading.

    Returns:
        The path that was given.

    Raises:
        DataError: if there are no records.
        FileError: if the file cannot be written.
    """
    if not records:
        raise DataError("records", "there are none to report", remedy="quantize, evaluate or measure a network first")
    return write_atomically(path, page(records, title=title).encode(errors="replace"))


def page(records: Sequence[Record], *, title: str) -> str:
    """The page as text. Texts from records are escaped wherever they stand: they may come from a stranger's model."""
    environment = Environment(
        loader=PackageLoader(PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    parts = sections(records)
    return environment.get_template("page.html.j2").render(
        title=title,
        lead=lead(records),
        cards=cards(records),
        sections=parts,
        figures=_figures(parts),
        plotly=get_plotlyjs(),
    )


def _figures(parts: Sequence[Section]) -> dict[str, list[Figure]]:
    return {plot.name: [choice.figure for choice in plot.choices] for part in parts for plot in part.plots}
