"""`microjoule auto`: recipes tried up to the first that keeps the metric; then everything that comes after."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import streams, work
from microjoule.cli.choices import EXIT_CHECK_FAILED, PRICES, check_metric, one_of
from microjoule.cli.options import (
    BITS,
    FILES,
    Calibration,
    CalibrationSamples,
    Classes,
    Confirm,
    DataSource,
    Device,
    InputRange,
    Json,
    LayerBits,
    MetricName,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    TargetName,
    ZooData,
    among,
)
from microjoule.errors import FileError, MicrojouleError

if TYPE_CHECKING:
    from microjoule.recipes.deliver import Delivered
    from microjoule.records.facts import Record

SUFFIXES = (".mj", ".onnx", ".html")
"""Of the network, its integer model, and the report."""

RUN = "run.json"
"""The file that says that a folder keeps a run's work."""

FIRST = "naive"
"""The attempt that is made first; a folder without a file of that name holds nothing that took long."""

Drop = Annotated[
    float,
    typer.Option(metavar="X", help="How much worse than FP32 it may be, in the metric's unit: points for percent."),
]
CostName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help=f"What is counted of each attempt: {', '.join(PRICES)}.", autocompletion=among(PRICES)
    ),
]
WidthOfWeights = Annotated[int, typer.Option(metavar="BITS", help="Bits of weights.", rich_help_panel=BITS)]
WidthOfActivations = Annotated[int, typer.Option(metavar="BITS", help="Bits of activations.", rich_help_panel=BITS)]
Name = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="NAME",
        help="Name of the files: NAME.mj, NAME.onnx and NAME.html are written.",
        rich_help_panel=FILES,
    ),
]
OnnxFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.onnx",
        help="Another place for the integer model.",
        show_default="NAME.onnx",
        rich_help_panel=FILES,
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html", help="Another place for the report.", show_default="NAME.html", rich_help_panel=FILES
    ),
]
SearchFolder = Annotated[
    Path | None,
    typer.Option(
        "--work-folder",
        metavar="FOLDER",
        help="Keeps what is done; the same command then goes on from there.",
        show_default="NAME.work, until it is finished",
        rich_help_panel=FILES,
    ),
]


def auto(
    *,
    model: ModelSource,
    data: DataSource,
    out: Name,
    calibration: Calibration = None,
    confirm: Confirm = None,
    drop: Drop = 1.0,
    metric: MetricName = None,
    target: TargetName = "onnxruntime",
    cost: CostName = "energy",
    weights: WidthOfWeights = 8,
    activations: WidthOfActivations = 8,
    layer: LayerBits = None,
    input_range: InputRange = None,
    size: Size = None,
    normalise: Normalise = None,
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = None,
    calibration_samples: CalibrationSamples = 256,
    shape: Shape = None,
    zoo_data: ZooData = None,
    device: Device = None,
    onnx: OnnxFile = None,
    report: ReportFile = None,
    work_folder: SearchFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Quantize by the first recipe that keeps the metric within a drop; export, verify, measure and report.

    One half of --data chooses the recipe; the other half, or --confirm, says
    whether the drop is kept, and how sure that is. Exit code 1 if it is not
    kept, or if the exported file departs from the simulation. If no recipe
    keeps it, the network that drops least is delivered all the same.
    Interrupted, the same command goes on where it was.

    \b
    microjoule auto zoo:digits_resnet --data zoo:digits_test \\
        --calibration zoo:digits_train --out digits
    microjoule auto model.pt2 --data test.npz --calibration train.npz \\
        --drop 0.5 --weights 4 --out out/model
    """
    _check(cost, metric)
    base = _checked(out, onnx, report, [model, data, calibration, confirm])
    asked: dict[str, Any] = {"drop": drop, "cost": cost, "samples": calibration_samples, "target": target, "seed": seed}
    asked |= {"weights": weights, "activations": activations, "onnx": onnx, "report": report}
    asked |= {"layers": work.layer_bits(layer or []), "input_range": work.range_of("--input-range", input_range)}
    named: dict[str, Any] = {"metric": metric, "inputs": calibration_samples}
    named |= {"calibration": calibration, "confirm": confirm}
    with _work_folder(work_folder, base) as folder:
        reading = work.Reading(size, normalise, prepare, input_range, classes, samples, zoo_data, seed, shape, device)
        task = work.find_task(model, data, reading, **named)
        asked |= {"calibration": task.inputs, "confirm": task.confirm, "folder": folder}
        made = mj.recipes.auto(*task.scored, base, **asked)
    _finish(made, as_json=json)


def _check(cost: str, metric: str | None) -> None:
    """See that there is what was asked for."""
    one_of("--cost", cost, PRICES)
    check_metric(metric)


def _checked(out: Path, onnx: Path | None, report: Path | None, inputs: list[str | None]) -> Path:
    """The name of the files, all of which can be written."""
    base = work.base_of("--out", out, SUFFIXES)
    network, integers, page = (Path(f"{base}{suffix}") for suffix in SUFFIXES)
    places = (("--out", network, ".mj"), ("--onnx", onnx or integers, ".onnx"), ("--report", report or page, ".html"))
    work.check_outputs(work.outputs(*places), inputs)
    return base


@contextmanager
def _work_folder(given: Path | None, base: Path) -> Iterator[Path]:
    """The folder that keeps the work: the one that was asked for, or one of the command's own until it has finished.

    Its own stays if the work is interrupted, or fails after an attempt was made.
    """
    if given is not None:
        yield given
        return
    folder = Path(f"{base}.work")
    if folder.exists() and not (folder / RUN).is_file():
        fact = "is there, and is not the work of microjoule"
        raise FileError(str(folder), fact, remedy="move it away, or name another with --work-folder")
    if folder.exists():
        streams.say(f"going on with what is in {folder}")
    try:
        yield folder
    except MicrojouleError:
        if not any(folder.glob(f"{FIRST}_*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _finish(delivered: "Delivered", *, as_json: bool) -> None:
    """Print what was found, and every file."""
    reached, history = delivered.reached, delivered.network.history
    assert reached is not None
    good = reached.met and delivered.agrees
    records: list[Record] = [reached, *delivered.verified, *delivered.measured, *work.notices(history)]
    tables = (work.rich_table(work.attempts_table(reached)), work.outcome(reached), "", work.summary(history))
    written = work.written_table(delivered.files)
    facts = {"out": str(delivered.path), "onnx": str(delivered.onnx), "report": str(delivered.report)}
    amounts = {"ram_bytes": delivered.ram_bytes, "flash_bytes": delivered.flash_bytes}
    verdicts = {"met": reached.met, "verified": delivered.agrees}
    work.finish(records, *tables, written, as_json=as_json, **facts, **amounts, **verdicts)
    if not good:
        raise typer.Exit(EXIT_CHECK_FAILED)
