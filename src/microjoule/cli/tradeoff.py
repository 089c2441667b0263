"""`microjoule tradeoff`: what a network could be without, and accuracy against cost, measured before one decides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.cli.auto import MetricName, SearchFolder, model_and_metric
from microjoule.cli.compress import (
    CRITERION_NAMES,
    CalibrationSamples,
    Criterion,
    FittedTo,
    LatencyBits,
    Multiple,
    SchemeName,
    criterion_of,
    scheme_of,
)
from microjoule.cli.data import Reading, find_both
from microjoule.cli.describe import Words
from microjoule.cli.options import (
    Classes,
    DataSource,
    Device,
    Json,
    ModelSource,
    Normalise,
    Prepare,
    Samples,
    Seed,
    Shape,
    Size,
    ZooData,
)
from microjoule.cli.output import finish
from microjoule.cli.seed import seed_everything
from microjoule.compression.alone import CHANNELS, LOW_RANK
from microjoule.graph.network import Network
from microjoule.numerics.low_rank_shapes import Method
from microjoule.recipes.compression_front import SHARES, compression_front
from microjoule.recipes.compression_sensitivity import compression_sensitivity
from microjoule.recipes.report import report as write_report
from microjoule.records.facts import Record
from microjoule.records.files import check_places
from microjoule.report.compression import sensitivity_table
from microjoule.report.front import front_table
from microjoule.report.tables import Table
from microjoule.report.terminal import rich_table

DEFAULT_REPORT = Path("tradeoff.html")

Shares = Annotated[
    list[float] | None,
    typer.Option(
        "--share",
        metavar="SHARE",
        help=f"Of the cost, to keep; give it several times.  [default: {', '.join(map(str, SHARES))}]",
    ),
]
Cost = Annotated[str, typer.Option(metavar="NAME", help="macs, bytes, energy, or measured: latency.")]
Sensitivity = Annotated[bool, typer.Option(help="Score each layer and channel group alone, too, which takes longer.")]
Report = Annotated[Path, typer.Option(metavar="FILE", help="Write the report here.")]


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
    criterion: Criterion = CRITERION_NAMES[0],
    metric: MetricName = None,
    calibration: FittedTo = None,
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
    work_folder: SearchFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure accuracy against cost: a compressed network for each share, and what each layer alone can be without.

    Nothing is saved but the report. With --work-folder, `microjoule compress` finds a share's network there again.

    \b
    microjoule tradeoff zoo:digits_mobilenet_v2 --data zoo:digits_test --calibration zoo:digits_train --share 0.75 \
--share 0.5 --no-sensitivity
    microjoule tradeoff model.pt2 --data test.npz --cost energy --work-folder work --report tradeoff.html
    """
    seed_everything(seed)
    check_places([report])
    (methods, ways), by = scheme_of(scheme), criterion_of(criterion)
    found, chosen = model_and_metric(model, metric, shape=shape, zoo_data=zoo_data, device=device)
    words = Words(size, normalise, tuple(prepare or ()), None, classes)
    reading = Reading(words, samples, zoo_data, seed)
    labelled, inputs = find_both(data, calibration, found, reading, calibration_samples=calibration_samples)
    asked: Any = {"calibration": inputs, "samples": calibration_samples, "seed": seed, "criterion": by}
    points: Any = {"methods": methods, "ways": ways, "multiple": multiple, "folder": work_folder}
    points |= {"shares": share or SHARES, "cost": cost, "latency_bits": latency_bits}
    front = compression_front(found.network, labelled, chosen, **points, **asked)
    told: list[tuple[Record, Table]] = [(front, front_table(front))]
    if sensitivity:
        alone: Any = {"kinds": _kinds(methods, ways), "folder": work_folder and work_folder / "sensitivity"}
        record = compression_sensitivity(found.network, labelled, chosen, **alone, **asked)
        told.append((record, sensitivity_table(record)))
    _finish(found.network, told, report, f"tradeoff {model}", as_json=json)


def _finish(network: Network, told: Sequence[tuple[Record, Table]], report: Path, title: str, *, as_json: bool) -> None:
    write_report(network, report, title=title)
    records, tables = zip(*told, strict=True)
    finish(records, *map(rich_table, tables), f"wrote {report}", as_json=as_json, report=str(report))


def _kinds(methods: Sequence[Method], ways: Sequence[float]) -> list[str]:
    """What a scheme makes smaller."""
    return [kind for kind, wanted in ((LOW_RANK, bool(methods)), (CHANNELS, tuple(ways) != (0.0,))) if wanted]
