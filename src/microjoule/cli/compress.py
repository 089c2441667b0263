"""`microjoule compress`: a network of less work from one that exists, without training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.cli.auto import Calibration, MetricName, OnnxFile, SearchFolder, model_and_metric
from microjoule.cli.data import Reading, find_data
from microjoule.cli.options import DataSource, Json, ModelSource, Normalise, Samples, Seed, Shape, Size, ZooData
from microjoule.cli.output import finish
from microjoule.cli.quantize import Out
from microjoule.cli.seed import seed_everything
from microjoule.deploy.onnx_file import export
from microjoule.errors import SettingError
from microjoule.graph.network import Network
from microjoule.recipes.compress import compress as compressed_by
from microjoule.recipes.compress_model import SCHEMES
from microjoule.recipes.report import report as write_report
from microjoule.records.compressed import Compressed
from microjoule.report.compression import compressed, compressed_table
from microjoule.report.terminal import rich_table

STAGE = "compressed"

NAMES = tuple(name.replace("_", "-") for name in SCHEMES)

Macs = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the multiply-accumulates, to keep, such as 0.5.")]
Bytes = Annotated[float | None, typer.Option("--bytes", metavar="SHARE", help="Of the weights' bytes, to keep.")]
Energy = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the estimated energy, to keep.")]
Latency = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the milliseconds measured here, to keep.")]
Scheme = Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(NAMES)}.")]
Multiple = Annotated[int, typer.Option(metavar="N", help="Prune channels to multiples of N, as some hardware likes.")]
CalibrationSamples = Annotated[int, typer.Option(metavar="N", help="Use the first N calibration inputs.")]
ReportFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report, too.")]


def compress(
    *,
    model: ModelSource,
    data: DataSource,
    out: Out,
    macs: Macs = None,
    bytes_: Bytes = None,
    energy: Energy = None,
    latency: Latency = None,
    scheme: Scheme = "auto",
    multiple: Multiple = 1,
    metric: MetricName = None,
    calibration: Calibration = None,
    size: Size = None,
    normalise: Normalise = None,
    samples: Samples = None,
    calibration_samples: CalibrationSamples = 1000,
    shape: Shape = None,
    zoo_data: ZooData = None,
    onnx: OnnxFile = None,
    report: ReportFile = None,
    work_folder: SearchFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a network cheaper without training: fewer channels, layers in low-rank form, all fitted to the original.

    How much of each layer goes is found in closed form from some hundred inputs; how channels and low-rank forms share
    the work is tried, and the best by the metric is taken. Give one of --macs, --bytes, --energy and
    --latency, which is measured in ONNX Runtime on this machine. The network stays in floating point: quantize the
    saved file afterwards.

    \b
    microjoule compress zoo:digits_mobilenet_v2 --data zoo:digits_test --calibration zoo:digits_train --macs 0.5 \
--out half.mj
    microjoule compress model.pt2 --data test.npz --macs 0.5 --multiple 8 --report half.html --out half.mj
    microjoule compress model.pt2 --data test.npz --bytes 0.3 --scheme low-rank --onnx small.onnx --out small.mj
    microjoule quantize half.mj --data images/ --out half.int8.mj
    """
    seed_everything(seed)
    asked: dict[str, Any] = {"macs": macs, "size": bytes_, "energy": energy, "latency": latency, **_means(scheme)}
    asked |= {"multiple": multiple, "samples": calibration_samples, "seed": seed, "folder": work_folder}
    found, chosen = model_and_metric(model, metric, shape=shape, zoo_data=zoo_data)
    labelled = find_data(data, found, Reading(size, normalise, samples, zoo_data))
    reading = Reading(size, normalise, calibration_samples, zoo_data)
    inputs = None if calibration is None else find_data(calibration, found, reading)
    result = compressed_by(found.network, labelled, chosen, calibration=inputs, **asked)
    _finish(result, {"out": out, "onnx": onnx, "report": report}, f"{STAGE} {model}", as_json=json)


def _means(scheme: str) -> dict[str, Any]:
    """The low-rank forms and the ways of a scheme."""
    if scheme not in NAMES:
        raise SettingError("--scheme", f"is {scheme!r}", remedy=f"use one of {', '.join(NAMES)}")
    return dict(zip(("methods", "ways"), SCHEMES[scheme.replace("-", "_")], strict=True))


def _finish(network: Network, paths: Mapping[str, Path | None], title: str, *, as_json: bool) -> None:
    """Write and print what was made."""
    record = next(one for one in reversed(network.history) if isinstance(one, Compressed))
    out, onnx, report = paths["out"], paths["onnx"], paths["report"]
    if onnx is not None:
        export(network, onnx, stage=STAGE)
    if out is not None:
        network.save(out)
    if report is not None:
        write_report(network, report, title=title)
    written = {name: str(path) for name, path in paths.items() if path is not None}
    finish([record], rich_table(compressed_table(record)), compressed(record).summary, as_json=as_json, **written)
