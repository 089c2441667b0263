"""`microjoule schedule`: the operators of a model in the order that takes the least memory."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from microjoule.cli.models import find_model
from microjoule.cli.names import EXIT_CHECK_FAILED
from microjoule.cli.options import Json, ZooData
from microjoule.cli.output import finish, plain_table
from microjoule.errors import SettingError
from microjoule.recipes.report import report as write_report
from microjoule.recipes.schedule_file import SUFFIXES, schedule_file
from microjoule.records.facts import Record
from microjoule.records.scheduled import RanInOrder, Scheduled
from microjoule.report import units
from microjoule.report.memory_plots import certificate, obeyed, plan, saving
from microjoule.scheduling.order import Watch
from microjoule.scheduling.schedule import schedule as schedule_network


def schedule(
    *,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="An .onnx or .tflite file, a network that microjoule saved, or zoo:NAME."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write, of the same kind.")],
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with memory over time.")] = None,
    seconds: Annotated[float | None, typer.Option(help="When to stop looking.  [default: never]", min=0)] = None,
    batch: Annotated[int, typer.Option(help="Samples at once, where an ONNX file leaves it open.", min=1)] = 1,
    alignment: Annotated[int, typer.Option(help="Of each value in the planned arena, in bytes.", min=1)] = 1,
    zoo_data: ZooData = None,
    json: Json = False,
) -> None:
    """Reorder the operators of a model so that its activations take the least memory, and prove it.

    The outputs stay the same, bit for bit: files for a runtime are run before and after, and its arena is measured.

    \b
    microjoule schedule model.onnx --out model.small.onnx --report memory.html
    microjoule schedule model.tflite -o model.small.tflite --seconds 60
    microjoule schedule model.mj -o model.small.mj
    """
    ran: RanInOrder | None = None
    with Status("looking for the best order", console=Console(stderr=True)) as status:
        if Path(model).suffix.lower() in SUFFIXES:
            _require_kind(model, out)
            limits = {"batch": batch, "alignment": alignment}
            record, ran = schedule_file(model, out, seconds=seconds, **limits, watch=_watch(status))
        else:
            network = find_model(model, shape=None, zoo_data=zoo_data).network
            record = schedule_network(network, seconds=seconds, alignment=alignment)
            network.save(out)
    records: list[Record] = [record] if ran is None else [record, ran]
    if report is not None:
        write_report(records, report, title="Memory report")
    words = [saving(record), certificate(record), plan(record), *([] if ran is None else [obeyed(ran), ran.caveat])]
    differs = ran is not None and not ran.identical
    kept = f"Not written: {out}, since the outputs differ" if differs else f"Written: {out}"
    written = [kept, *([] if report is None else [f"Report: {report}"])]
    finish(records, _table(record), *words, *written, as_json=json, source=model, out=str(out))
    if differs:
        raise typer.Exit(EXIT_CHECK_FAILED)


def _require_kind(model: str, out: Path) -> None:
    if out.suffix.lower() != Path(model).suffix.lower():
        fact = f"is {out}, but the model is {model}"
        raise SettingError("--out", fact, remedy="give a file of the same kind; a model is ordered, not converted")


def _watch(status: Status) -> Watch:
    def watch(peak: int, bound: int, states: int) -> None:
        told = f"best {units.size(peak)}, no order below {units.size(bound)}, {states:,} states"
        status.update(f"looking for the best order: {told}")

    return watch


def _table(record: Scheduled) -> Table:
    rows = [
        ["peak before", units.size(record.before.peak_bytes)],
        ["peak after", units.size(record.after.peak_bytes)],
        ["no order below", units.size(record.bound_bytes)],
        ["arena", units.size(record.arena_bytes)],
    ]
    return plain_table("Memory of activations", ["", "size"], rows)
