"""`microjoule export`, `verify` and `measure`: a network as a file, is it the same, and what does it take."""

from pathlib import Path
from typing import Annotated

import typer

from microjoule.cli.data import Reading, find_data
from microjoule.cli.describe import Words
from microjoule.cli.keep import history_keeper, keep
from microjoule.cli.models import find_model, stage_name
from microjoule.cli.names import EXIT_CHECK_FAILED
from microjoule.cli.options import (
    Classes,
    DataSource,
    Json,
    Keep,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    Stage,
    ZooData,
)
from microjoule.cli.output import finish
from microjoule.cli.seed import seed_everything
from microjoule.deploy.measure import measure_together
from microjoule.deploy.onnx_file import export as export_network
from microjoule.deploy.verify import HEXAGON, RUNTIMES
from microjoule.deploy.verify import verify as verify_network
from microjoule.records.facts import Record
from microjoule.report.notices import notices
from microjoule.report.tables import agreements, files, measurements
from microjoule.report.terminal import rich_table

VERIFY_SAMPLES = 64
"""Enough that every value of most networks is seen many thousand times; more only takes longer."""


def export(
    *,
    model: ModelSource,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The ONNX file to write.")],
    encodings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the grids as AIMET encodings (JSON) as well.")
    ] = None,
    packed: Annotated[bool, typer.Option("--packed", help="Hold weights of up to 4 bits in half a byte.")] = False,
    stage: Stage = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    json: Json = False,
) -> None:
    """Write a network as ONNX: with integers inside if it is quantized, in floating point if not.

    \b
    microjoule export model.mj --out model.int8.onnx
    microjoule export model.mj --out model.onnx --encodings model.encodings.json --keep model.mj
    microjoule export zoo:digits_mobilenet_v2 --out digits.fp32.onnx
    """
    keeper = history_keeper(keep_in)
    found = find_model(model, shape=shape, zoo_data=zoo_data)
    record = export_network(
        found.network, out, encodings=encodings, packed=packed, stage=stage or stage_name(found.network)
    )
    keep(keeper, keep_in, [record])
    finish([record], rich_table(files([record])), as_json=json)


def verify(
    *,
    model: ModelSource,
    path: Annotated[str, typer.Argument(metavar="ONNX", help="The file that was exported from it.")],
    data: DataSource,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Of {', '.join(RUNTIMES)}; repeatable.  [default: all but {HEXAGON}]"),
    ] = None,
    size: Size = None,
    normalise: Normalise = None,
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = VERIFY_SAMPLES,
    keep_in: Keep = None,
    zoo_data: ZooData = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare the simulation with the exported file, layer by layer. Exit code 1 if a layer departs.

    \b
    microjoule verify model.mj model.int8.onnx --data images/
    microjoule verify digits.mj digits.onnx --data zoo:digits_test --runtime onnxruntime
    """
    seed_everything(seed)
    keeper = history_keeper(keep_in)
    found = find_model(model, zoo_data=zoo_data)
    words = Words(size, normalise, tuple(prepare or ()), None, classes)
    batches = find_data(data, found, Reading(words, samples, zoo_data, seed))
    records = verify_network(found.network, path, batches, runtimes=runtime)
    keep(keeper, keep_in, records)
    departed = [record for record in records if record.first_departure is not None]
    shown: list[Record] = [*records, *notices(found.network.history)]
    finish(shown, rich_table(agreements(records)), as_json=json, passed=not departed)
    if departed:
        raise typer.Exit(EXIT_CHECK_FAILED)


def measure(
    *,
    paths: Annotated[list[str], typer.Argument(metavar="ONNX...", help="ONNX files; several take turns.")],
    runs: Annotated[int, typer.Option(metavar="N", help="Runs that are timed, after a warm-up.")] = 50,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of the runtime.")] = 2,
    batch: Annotated[int, typer.Option(metavar="N", help="Samples a run.")] = 1,
    stage: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What to call each file's network; once a file.")
    ] = None,
    keep_in: Keep = None,
    json: Json = False,
) -> None:
    """Measure latency, size and memory of ONNX files in ONNX Runtime, each in a process of its own.

    \b
    microjoule measure model.fp32.onnx model.int8.onnx
    microjoule measure model.int8.onnx --threads 1 --runs 200 --stage "data-free W8A8" --keep model.mj
    """
    keeper = history_keeper(keep_in)
    known = [stage_name(keeper)] if keeper is not None and len(paths) == 1 else []
    records = measure_together(paths, runs=runs, threads=threads, batch=batch, stages=stage or known)
    keep(keeper, keep_in, records)
    finish(records, rich_table(measurements(records)), as_json=json)
