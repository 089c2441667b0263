"""`microjoule report`: what networks and commands found, as one page."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.capture.load import load
from microjoule.cli.options import Json
from microjoule.cli.output import finish
from microjoule.errors import FileError
from microjoule.recipes.report import report as write_report
from microjoule.records.facts import Captured, Record
from microjoule.records.json_io import records_from_json

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
    try:
        text = source.read_text("utf-8")
        document: Any = json_module.loads(text)
    except OSError as error:
        raise FileError(str(source), f"cannot be read: {error.strerror or error}", remedy="check the path") from error
    except (ValueError, RecursionError) as error:
        raise FileError(str(source), f"is not valid JSON: {error}", remedy="write it again with --json") from error
    if isinstance(document, dict) and "records" in document:
        text = json_module.dumps(document["records"])
    return records_from_json(text, source=str(source))
