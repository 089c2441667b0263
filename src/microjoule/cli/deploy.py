"""`microjoule export`, `verify` and `measure`: a network as a file, is it the same, and what does it take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import EXIT_CHECK_FAILED, HEXAGON, LEAST_DB, RUNTIMES, one_of
from microjoule.cli.options import (
    FILES,
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
    among,
)
from microjoule.errors import SettingError

if TYPE_CHECKING:
    from microjoule.records.measured import Verified
    from microjoule.records.noticed import Noticed

VERIFY_SAMPLES = 64
"""Enough that every value of most networks is seen many thousand times; more only takes longer."""

RUNTIME_HELP = f"One of {', '.join(RUNTIMES)}. Repeatable."


def export(
    *,
    model: ModelSource,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.onnx", help="The ONNX file to write.", rich_help_panel=FILES)
    ],
    encodings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write the grids as AIMET encodings, too.", rich_help_panel=FILES),
    ] = None,
    packed: Annotated[
        bool, typer.Option("--packed", metavar="", help="Hold weights of up to 4 bits in half a byte.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Whose opset the file has.", show_default="the target that it was quantized for"
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", metavar="", help="Compare the file with the network before it is written."),
    ] = True,
    stage: Stage = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    json: Json = False,
) -> None:
    """Write a network as ONNX: with integers inside if it is quantized, in floating point if not.

    \b
    microjoule export model.mj --out model.int8.onnx
    microjoule export model.mj --out model.onnx --encodings model.json
    microjoule export zoo:digits_resnet --out digits.fp32.onnx
    """
    wanted = work.outputs(("--out", out, ".onnx"), ("--encodings", encodings, ".json .encodings"))
    work.check_outputs(wanted, [model, keep_in])
    keeper = work.history_keeper(keep_in)
    found = work.find_model(model, shape=shape, zoo_data=zoo_data)
    settings: dict[str, Any] = {"encodings": encodings, "packed": packed, "target": target, "check": check}
    record = mj.export(found.network, out, stage=stage or work.stage_name(found.network.history), **settings)
    work.keep(keeper, keep_in, [record])
    told = [] if record.integers is None else [work.share_text(record.integers)]
    work.finish([record], work.rich_table(work.files([record])), *told, as_json=json)


def verify(
    *,
    model: ModelSource,
    path: Annotated[str, typer.Argument(metavar="ONNX", help="The file that was exported from it.")],
    data: DataSource,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=RUNTIME_HELP,
            show_default=f"all but {HEXAGON}",
            autocompletion=among(RUNTIMES),
        ),
    ] = None,
    size: Size = None,
    normalise: Normalise = None,
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = VERIFY_SAMPLES,
    least_db: Annotated[
        float, typer.Option(metavar="DB", help="How near outputs must be to the simulation.")
    ] = LEAST_DB,
    least_fp32_db: Annotated[
        float | None, typer.Option("--least-fp32-db", metavar="DB", help="How near outputs must be to FP32.")
    ] = None,
    keep_in: Keep = None,
    zoo_data: ZooData = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare the simulation with the exported file, layer by layer and from end to end.

    Exit code 1 if a layer departs, or an output is further from the simulation
    or from FP32 than it may be.

    \b
    microjoule verify model.mj model.int8.onnx --data images/
    microjoule verify digits.mj digits.onnx --data zoo:digits_test
    """
    for name in runtime or []:
        one_of("--runtime", name, RUNTIMES)
    work.seed_everything(seed)
    keeper = work.history_keeper(keep_in)
    found = work.find_model(model, zoo_data=zoo_data)
    inputs = work.find_data(data, found, work.Reading(size, normalise, prepare, None, classes, samples, zoo_data, seed))
    limits: dict[str, Any] = {"least_db": least_db, "least_fp32_db": least_fp32_db}
    records = mj.verify(found.network, path, inputs, runtimes=runtime, **limits)
    work.keep(keeper, keep_in, records)
    _finish(records, work.notices(found.network.history), as_json=json)


def _finish(records: "list[Verified]", noticed: "list[Noticed]", *, as_json: bool) -> None:
    """Print what was found, and fail if something is too far."""
    passed = all(record.passed for record in records)
    tables = [work.rich_table(table) for table in (work.agreements(records), work.outputs_table(records)) if table.rows]
    shares = [work.share_text(record.integers) for record in records if record.integers is not None]
    work.finish([*records, *noticed], *tables, *map(work.verdict, records), *shares, as_json=as_json, passed=passed)
    if not passed:
        raise typer.Exit(EXIT_CHECK_FAILED)


def measure(
    *,
    paths: Annotated[list[str], typer.Argument(metavar="ONNX...", help="ONNX files; several take turns.")],
    runs: Annotated[int, typer.Option(metavar="N", help="Runs that are timed, after a warm-up.")] = 50,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of the runtime.")] = 2,
    batch: Annotated[int, typer.Option(metavar="N", help="Samples in one run.")] = 1,
    stage: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What to call each file's network in records; once a file."),
    ] = None,
    keep_in: Keep = None,
    json: Json = False,
) -> None:
    """Measure latency, size and memory of ONNX files in ONNX Runtime, each in a process of its own.

    \b
    microjoule measure model.fp32.onnx model.int8.onnx
    microjoule measure model.int8.onnx --threads 1 --runs 200 --keep model.mj
    """
    if stage and len(stage) != len(paths):
        fact = f"is given {len(stage)} times, for {len(paths)} files"
        raise SettingError("--stage", fact, remedy="give it once a file, in their order, or leave it out")
    keeper = work.history_keeper(keep_in)
    known = [work.stage_name(keeper.history)] if keeper is not None and len(paths) == 1 else []
    records = work.measure_together(paths, runs=runs, threads=threads, batch=batch, stages=stage or known)
    work.keep(keeper, keep_in, records)
    work.finish(records, work.rich_table(work.measurements(records)), as_json=json)
