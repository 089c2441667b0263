"""`microjoule tradeoff`: what a network could be without, and accuracy against cost, measured before one decides."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import COSTS, CRITERIA, SHARES, check_metric, one_of
from microjoule.cli.compress import (
    Criterion,
    FittedTo,
    LatencyBits,
    Multiple,
    SchemeName,
    criterion_of,
    scheme_of,
)
from microjoule.cli.options import (
    FILES,
    CalibrationSamples,
    Classes,
    Confirm,
    DataSource,
    Device,
    Json,
    MetricName,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    WorkFolder,
    ZooData,
    among,
)

if TYPE_CHECKING:
    from microjoule.cli.scored import Task
    from microjoule.records.facts import Record
    from microjoule.report.tables import Table

DEFAULT_REPORT = Path("tradeoff.html")

Shares = Annotated[
    list[float] | None,
    typer.Option(
        "--share",
        metavar="SHARE",
        help="Share of the cost to keep. Repeatable.",
        show_default=", ".join(map(str, SHARES)),
    ),
]
Cost = Annotated[
    str,
    typer.Option(
        metavar="NAME", help=f"What it costs: {', '.join(COSTS)}; latency is measured.", autocompletion=among(COSTS)
    ),
]
Sensitivity = Annotated[
    bool, typer.Option(metavar="", help="Score each layer and channel group alone, too, which takes longer.")
]
Report = Annotated[Path, typer.Option(metavar="FILE.html", help="The report to write.", rich_help_panel=FILES)]


def tradeoff(
    *,
    model: ModelSource,
    data: DataSource,
    share: Shares = None,
    cost: Cost = "macs",
    latency_bits: LatencyBits = 32,
    sensitivity: Sensitivity = True,
    scheme: SchemeName = "auto",
    multiple: Multiple = 1,
    criterion: Criterion = CRITERIA[0],
    metric: MetricName = None,
    calibration: FittedTo = None,
    confirm: Confirm = None,
    size: Size = None,
    normalise: Normalise = None,
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = None,
    calibration_samples: CalibrationSamples = 1000,
    shape: Shape = None,
    zoo_data: ZooData = None,
    device: Device = None,
    report: Report = DEFAULT_REPORT,
    work_folder: WorkFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure accuracy against cost: a compressed network for each share, and what each layer alone can be without.

    Nothing is saved but the report. With --work-folder, microjoule compress
    finds a share's network there again.

    \b
    microjoule tradeoff zoo:digits_resnet --data zoo:digits_test \\
        --calibration zoo:digits_train --share 0.75 --share 0.5 --no-sensitivity
    microjoule tradeoff model.pt2 --data test.npz --cost energy \\
        --work-folder work --report tradeoff.html
    """
    (methods, ways), by = scheme_of(scheme), criterion_of(criterion)
    _check(cost, metric, report, [model, data, calibration, confirm])
    reading = work.Reading(size, normalise, prepare, None, classes, samples, zoo_data, seed, shape, device)
    named: dict[str, Any] = {"calibration": calibration, "confirm": confirm, "inputs": calibration_samples}
    task = work.find_task(model, data, reading, metric=metric, **named)
    asked: dict[str, Any] = {"calibration": task.inputs, "samples": calibration_samples, "seed": seed, "criterion": by}
    points: dict[str, Any] = {"methods": methods, "ways": ways, "multiple": multiple, "folder": work_folder}
    points |= {"shares": share or SHARES, "cost": cost, "latency_bits": latency_bits}
    front = mj.recipes.compression_front(*task.scored, confirm=task.confirm, **(points | asked))
    told: list[tuple[Record, Table]] = [(front, work.front_table(front))]
    if sensitivity:
        told.append(_alone(task, _kinds(methods, ways), work_folder, asked))
    _finish(task.model.network, told, report, f"tradeoff {model}", as_json=json)


def _alone(
    task: "Task", kinds: Sequence[str], work_folder: Path | None, asked: dict[str, Any]
) -> "tuple[Record, Table]":
    """What each layer and channel group alone can be without."""
    folder = work_folder and work_folder / "sensitivity"
    record = mj.compression_sensitivity(*task.scored, kinds=kinds, folder=folder, **asked)
    return record, work.sensitivity_table(record)


def _check(cost: str, metric: str | None, report: Path, inputs: list[str | None]) -> None:
    """See that there is what was asked for, and that the report can be written."""
    one_of("--cost", cost, COSTS)
    check_metric(metric)
    work.check_outputs(work.outputs(("--report", report, ".html")), inputs)


def _finish(
    network: "mj.Network", told: "Sequence[tuple[Record, Table]]", report: Path, title: str, *, as_json: bool
) -> None:
    """Write and print what was measured."""
    mj.report(network, report, title=title)
    records, tables = zip(*told, strict=True)
    work.finish(records, *map(work.rich_table, tables), f"Report: {report}", as_json=as_json, report=str(report))


def _kinds(methods: Sequence[Any], ways: Sequence[float]) -> list[str]:
    """What a scheme makes smaller."""
    kinds = ((work.LOW_RANK, bool(methods)), (work.CHANNELS, tuple(ways) != (0.0,)))
    return [kind for kind, wanted in kinds if wanted]
