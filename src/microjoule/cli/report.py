"""`microjoule report`: what networks and commands found, as one page."""

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.options import FILES, Json
from microjoule.errors import FileError

if TYPE_CHECKING:
    from microjoule.records.facts import Record

SOURCES_HELP = "Networks that microjoule saved, and JSON that its commands printed; their records one after another."


def report(
    *,
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help=SOURCES_HELP)],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.html", help="The page to write.", rich_help_panel=FILES)
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(metavar="TEXT", help="The page's heading.")] = "Quantization report",
    json: Json = False,
) -> None:
    """Write one self-contained HTML page from what networks and commands found.

    \b
    microjoule report model.mj --out report.html
    microjoule evaluate model.pt2 --data test.npz --json > fp32.json
    microjoule report fp32.json model.mj --title "Before and after"
    """
    work.check_outputs(work.outputs(("--out", out, ".html")), sources)
    records: list[Record] = []
    for source in sources:
        records += [record for record in _records(source) if record not in records]
    path = mj.report(records, out, title=title)
    work.finish([], f"Report: {path}", as_json=json, out=str(path))


def _records(source: Path) -> Sequence["Record"]:
    if source.suffix.lower() != ".json":
        history = mj.load(source).history
        if all(isinstance(record, work.Captured) for record in history):
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
    if isinstance(document, dict) and "error" in document:
        raise FileError(
            str(source), "holds what went wrong, and no records", remedy="mend that, and run the command again"
        )
    if isinstance(document, dict) and "records" in document:
        text = json_module.dumps(document["records"])
    return work.records_from_json(text, source=str(source))
