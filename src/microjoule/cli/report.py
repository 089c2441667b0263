"""`microjoule report`: what networks and commands found, as one page."""

from pathlib import Path
from typing import Annotated

import typer

from microjoule.capture.load import load
from microjoule.cli.options import Json
from microjoule.cli.output import finish
from microjoule.errors import FileError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import read_json
from microjoule.recipes.report import report as write_report
from microjoule.records.facts import Captured, Record
from microjoule.records.json_io import records_of

REMEDY = "write it again with --json"
SOURCES_HELP = "Networks that microjoule saved, and JSON that its commands printed; their records one after another."


def report(
    *,
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help=SOURCES_HELP)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="The page's heading.")] = "Quantization report",
    json: Json = False,
) -> None:
    """Write one self-contained HTML page from what networks and commands found.

    \b
    microjoule report model.mj --out report.html
    microjoule evaluate model.pt2 --data test.npz --json > fp32.json
    microjoule report fp32.json model.mj --title "Before and after"
    """
    records: list[Record] = []
    for source in sources:
        records += [record for record in _records(source) if record not in records]
    path = write_report(records, out, title=title)
    finish([], f"Report: {path}", as_json=json, out=str(path))


def _records(source: Path) -> list[Record]:
    if source.suffix != ".json":
        history = load(source).history
        if all(isinstance(record, Captured) for record in history):
            raise FileError(
                str(source),
                "has no history to report",
                remedy="give what microjoule quantize --out FILE.mj saved, or the output of a command with --json",
            )
        return history
    document = read_json(read_text(source, remedy=REMEDY), str(source), remedy=REMEDY)
    if isinstance(document, dict) and "records" in document:
        document = document["records"]
    return records_of(document, source=str(source))
