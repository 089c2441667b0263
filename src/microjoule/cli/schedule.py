"""`microjoule schedule`: the operators of a model in the order that takes the least memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import EXIT_CHECK_FAILED
from microjoule.cli.options import FILES, Json, ZooData
from microjoule.errors import SettingError

if TYPE_CHECKING:
    from rich.table import Table

    from microjoule.records.facts import Record
    from microjoule.records.scheduled import RanInOrder, Scheduled
    from microjoule.scheduling.order import Watch

LABEL = "looking for the best order"
FILE_KINDS = (".onnx", ".tflite")
"""Suffixes of files for runtimes; anything else is a network."""


ModelFile = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="An .onnx or .tflite file, a network that microjoule saved, or zoo:NAME."),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FILE", help="The file to write, of the same kind as the model.", rich_help_panel=FILES
    ),
]
MemoryReport = Annotated[
    Path | None, typer.Option(metavar="FILE.html", help="Write a page with memory over time.", rich_help_panel=FILES)
]
Seconds = Annotated[
    float | None, typer.Option(metavar="S", help="Stop looking after so many seconds.", show_default="never", min=0)
]
Batch = Annotated[int, typer.Option(metavar="N", help="Samples at once, where an ONNX file leaves it open.", min=1)]
Alignment = Annotated[int, typer.Option(metavar="BYTES", help="Alignment of each value in the planned arena.", min=1)]


def schedule(
    *,
    model: ModelFile,
    out: Out,
    report: MemoryReport = None,
    seconds: Seconds = None,
    batch: Batch = 1,
    alignment: Alignment = 1,
    zoo_data: ZooData = None,
    json: Json = False,
) -> None:
    """Reorder the operators of a model so that its activations take the least memory, and prove it.

    The outputs stay the same, bit for bit: files for a runtime are run before
    and after, and its arena is measured.

    \b
    microjoule schedule model.onnx --out model.small.onnx --report memory.html
    microjoule schedule model.tflite -o model.small.tflite --seconds 60
    microjoule schedule model.mj -o model.small.mj
    """
    _require_kind(model, out)
    work.check_outputs(work.outputs(("--out", out, out.suffix.lower()), ("--report", report, ".html")), [model])
    ran: RanInOrder | None = None
    with work.Progress(LABEL) as progress:
        if Path(model).suffix.lower() in FILE_KINDS:
            limits = {"batch": batch, "alignment": alignment}
            record, ran = work.schedule_file(model, out, seconds=seconds, **limits, watch=_watch(progress))
        else:
            network = work.find_model(model, shape=None, zoo_data=zoo_data).network
            record = mj.schedule(network, seconds=seconds, alignment=alignment)
            network.save(out)
    records: list[Record] = [record] if ran is None else [record, ran]
    if report is not None:
        mj.report(records, report, title="Memory report")
    words = [work.saving(record), work.certificate(record), work.plan(record)]
    words += [] if ran is None else [work.obeyed(ran), ran.caveat]
    differs = ran is not None and not ran.identical
    kept = f"Not written: {out}, since the outputs differ" if differs else f"Written: {out}"
    written = [kept, *([] if report is None else [f"Report: {report}"])]
    work.finish(records, _table(record), *words, *written, as_json=json, source=model, out=str(out))
    if differs:
        raise typer.Exit(EXIT_CHECK_FAILED)


def _require_kind(model: str, out: Path) -> None:
    """A model is ordered, not converted."""
    given = Path(model).suffix.lower()
    kind = given if given in FILE_KINDS else ".mj"
    if out.suffix.lower() != kind:
        remedy = f"end it in {kind}: a model is ordered, not converted (microjoule export writes ONNX)"
        raise SettingError("--out", f"is {out}, but the model is {model}", remedy=remedy)


def _watch(progress: "work.Progress") -> "Watch":
    def watch(peak: int, bound: int, states: int) -> None:
        size = work.units.size
        progress.tell(f"{LABEL}: best {size(peak)}, no order below {size(bound)}, {states:,} states")

    return watch


def _table(record: "Scheduled") -> "Table":
    size = work.units.size
    rows = [
        ["peak before", size(record.before.peak_bytes)],
        ["peak after", size(record.after.peak_bytes)],
        ["no order below", size(record.bound_bytes)],
        ["arena", size(record.arena_bytes)],
    ]
    return work.plain_table("Memory of activations", ["", "size"], rows)
