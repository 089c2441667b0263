"""`microjoule compress`: a network of less work from one that exists, without training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from microjoule.cli.auto import MetricName, SearchFolder, model_and_metric
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
from microjoule.cli.quantize import Out
from microjoule.cli.seed import seed_everything
from microjoule.compression.criteria import CRITERIA
from microjoule.deploy.onnx_file import export
from microjoule.errors import SettingError
from microjoule.graph.network import Network
from microjoule.numerics.low_rank_shapes import Method
from microjoule.recipes.compress import budget_of
from microjoule.recipes.compress import compress as compressed_by
from microjoule.recipes.compress_model import SCHEMES
from microjoule.recipes.report import report as write_report
from microjoule.records.compressed import Compressed
from microjoule.records.facts import Record
from microjoule.records.files import check_places
from microjoule.report.compression import compressed, compressed_table
from microjoule.report.notices import notices
from microjoule.report.terminal import rich_table

STAGE = "compressed"

NAMES = tuple(name.replace("_", "-") for name in SCHEMES)

CRITERION_NAMES = tuple(name.replace("_", "-") for name in CRITERIA)

Macs = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the multiply-accumulates, to keep, such as 0.5.")]
Bytes = Annotated[float | None, typer.Option("--bytes", metavar="SHARE", help="Of the weights' bytes, to keep.")]
Energy = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the estimated energy, to keep.")]
Latency = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the milliseconds measured here, to keep.")]
LatencyBits = Annotated[int, typer.Option(metavar="N", help="Time networks in 32 bits, or quantized to 8.")]
SchemeName = Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(NAMES)}.")]
Multiple = Annotated[
    int, typer.Option(metavar="N", help="Widths and ranks are multiples of N: 8 or 16 run faster on most hardware.")
]
Criterion = Annotated[
    str, typer.Option(metavar="NAME", help=f"By which channels are chosen: {', '.join(CRITERION_NAMES)}.")
]
FITTED_HELP = "Inputs to fit to; labels are not read.  [default: the first of --data, up to 4/5; the others judge]"
FittedTo = Annotated[str | None, typer.Option("--calibration", metavar="DATA", help=FITTED_HELP)]
CalibrationSamples = Annotated[int, typer.Option(metavar="N", help="Use the first N calibration inputs.")]
FloatOnnxFile = Annotated[Path | None, typer.Option("--onnx", metavar="FILE", help="Write the network as ONNX, too.")]
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
    latency_bits: LatencyBits = 32,
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
    onnx: FloatOnnxFile = None,
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
    microjoule compress model.pt2 --data test.npz --macs 0.5 --scheme channel-pruning --criterion lasso --out half.mj
    microjoule compress model.pt2 --data test.npz --bytes 0.3 --scheme low-rank --onnx small.onnx --out small.mj
    microjoule quantize half.mj --data images/ --out half.int8.mj
    """
    seed_everything(seed)
    methods, ways = scheme_of(scheme)
    paths = {"out": out, "onnx": onnx, "report": report}
    check_places(paths.values())
    asked = _budget({"--macs": macs, "--bytes": bytes_, "--energy": energy, "--latency": latency})
    asked |= {"multiple": multiple, "criterion": criterion_of(criterion), "methods": methods, "ways": ways}
    asked |= {"samples": calibration_samples, "seed": seed, "folder": work_folder, "latency_bits": latency_bits}
    found, chosen = model_and_metric(model, metric, shape=shape, zoo_data=zoo_data, device=device)
    words = Words(size, normalise, tuple(prepare or ()), None, classes)
    reading = Reading(words, samples, zoo_data, seed)
    labelled, inputs = find_both(data, calibration, found, reading, calibration_samples=calibration_samples)
    result = compressed_by(found.network, labelled, chosen, calibration=inputs, **asked)
    _finish(result, paths, f"{STAGE} {model}", as_json=json)


def _budget(given: dict[str, float | None]) -> dict[str, Any]:
    """The budget as `mj.compress` takes it.

    Raises:
        SettingError: unless exactly one is given, or for a share that there is not.
    """
    option, share = budget_of(**given)
    return {"size" if option == "--bytes" else option.removeprefix("--"): share}


def scheme_of(name: str) -> tuple[tuple[Method, ...], tuple[float, ...]]:
    """The low-rank forms of a scheme, and how much of the saving channels do.

    Raises:
        SettingError: for another name.
    """
    return SCHEMES[_in_python("--scheme", name, NAMES)]


def criterion_of(name: str) -> str:
    """What a criterion is called in Python.

    Raises:
        SettingError: if there is none of that name.
    """
    return _in_python("--criterion", name, CRITERION_NAMES)


def _in_python(option: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise SettingError(option, f"is {name!r}", remedy=f"use one of {', '.join(names)}")
    return name.replace("-", "_")


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
    records: list[Record] = [record, *notices(network.history)]
    finish(records, rich_table(compressed_table(record)), compressed(record).summary, as_json=as_json, **written)
