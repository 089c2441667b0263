"""`microjoule auto`: recipes tried one after another, up to the first that keeps the metric."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.cli.data import Reading, find_both
from microjoule.cli.describe import Words
from microjoule.cli.models import Model, find_model
from microjoule.cli.names import EXIT_CHECK_FAILED
from microjoule.cli.options import (
    Classes,
    DataSource,
    Device,
    InputRange,
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
from microjoule.cli.quantize import LayerBits, Out, TargetName
from microjoule.cli.seed import seed_everything
from microjoule.cli.values import layer_bits, range_of
from microjoule.deploy.onnx_file import export
from microjoule.execution.evaluate import Metric
from microjoule.graph.network import Network
from microjoule.recipes.attempt_costs import PRICES
from microjoule.recipes.reach import reach
from microjoule.recipes.report import report as write_report
from microjoule.records.decided import Reached
from microjoule.records.facts import Record
from microjoule.records.files import check_places
from microjoule.report.attempts import attempts_table, outcome
from microjoule.report.notices import notices
from microjoule.report.terminal import rich_table
from microjoule.zoo.metrics import METRICS
from microjoule.zoo.metrics import metric as find_metric

CALIBRATION_HELP = "Inputs for the methods; labels are not read.  [default: those of --data]"
METRIC_HELP = f"One of {', '.join(METRICS)}.  [default: the zoo model's own, else top1]"

MetricName = Annotated[str | None, typer.Option(metavar="NAME", help=METRIC_HELP)]
Calibration = Annotated[str | None, typer.Option(metavar="DATA", help=CALIBRATION_HELP)]
CalibrationSamples = Annotated[int, typer.Option(metavar="N", help="Use the first N calibration inputs.")]
Drop = Annotated[float, typer.Option(metavar="X", help="How much worse than FP32 it may be; points for percent.")]
CostName = Annotated[str, typer.Option(metavar="NAME", help=f"What is counted: {', '.join(PRICES)}.")]
WidthOfWeights = Annotated[int, typer.Option(metavar="BITS", help="Of weights.")]
WidthOfActivations = Annotated[int, typer.Option(metavar="BITS", help="Of activations.")]
OnnxFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the integer model as ONNX, too.")]
ReportFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report of every attempt, too.")]
SearchFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Keeps what is done; the same command then goes on from there.")
]


def auto(
    *,
    model: ModelSource,
    data: DataSource,
    out: Out,
    calibration: Calibration = None,
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
    """Quantize by the first recipe that keeps the metric within a drop. Exit code 1 if none does.

    If none does, the network that drops least is saved all the same.

    \b
    microjoule auto zoo:digits_mobilenet_v2 --data zoo:digits_test --calibration zoo:digits_train --out digits.mj
    microjoule auto model.pt2 --data test.npz --drop 0.5 --weights 4 --work-folder work --report r.html --out model.mj
    """
    seed_everything(seed)
    paths = {"out": out, "onnx": onnx, "report": report}
    check_places(paths.values())
    found, chosen = model_and_metric(model, metric, shape=shape, zoo_data=zoo_data, device=device)
    words = Words(size, normalise, tuple(prepare or ()), input_range, classes)
    reading = Reading(words, samples, zoo_data, seed)
    labelled, inputs = find_both(data, calibration, found, reading, calibration_samples=calibration_samples)
    bounds = range_of("--input-range", input_range)
    asked: dict[str, Any] = {"drop": drop, "cost": cost, "samples": calibration_samples, "folder": work_folder}
    asked |= {"target": target, "weights": weights, "activations": activations, "layers": layer_bits(layer or [])}
    result = reach(found.network, labelled, chosen, calibration=inputs, input_range=bounds, seed=seed, **asked)
    _finish(result, paths, f"of {model}", as_json=json)


def _finish(network: Network, paths: Mapping[str, Path | None], title: str, *, as_json: bool) -> None:
    """Write and print what was found."""
    record = _decision(network)
    written = _write(network, paths, title)
    records: list[Record] = [record, *notices(network.history)]
    finish(records, rich_table(attempts_table(record)), outcome(record), as_json=as_json, met=record.met, **written)
    if not record.met:
        raise typer.Exit(EXIT_CHECK_FAILED)


def model_and_metric(
    source: str, metric: str | None, *, shape: str | None, zoo_data: Path | None, device: str | None
) -> tuple[Model, Metric]:
    """The model and the metric: what was asked for, the one of the model's card, or top1."""
    found = find_model(source, shape=shape, zoo_data=zoo_data, device=device)
    return found, find_metric(metric or found.metric)


def _decision(network: Network) -> Reached:
    return next(record for record in reversed(network.history) if isinstance(record, Reached))


def _write(network: Network, paths: Mapping[str, Path | None], title: str) -> dict[str, str]:
    """The network, the ONNX file and the report, as far as they have a path; gives the paths."""
    out, onnx, report = paths["out"], paths["onnx"], paths["report"]
    stage = _decision(network).taken.stage
    if onnx is not None:
        export(network, onnx, stage=stage)
    if out is not None:
        network.save(out)
    if report is not None:
        write_report(network, report, title=f"{stage} {title}")
    return {name: str(path) for name, path in paths.items() if path is not None}
