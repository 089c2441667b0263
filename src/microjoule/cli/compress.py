"""`microjoule compress`: a network of less work from one that exists, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import CRITERIA, SCHEMES, check_metric, one_of
from microjoule.cli.options import (
    DATA,
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
    OnnxFile,
    Prepare,
    ReportFile,
    Samples,
    Seed,
    Shape,
    Size,
    WorkFolder,
    ZooData,
    among,
)

if TYPE_CHECKING:
    from microjoule.records.facts import Record

STAGE = "compressed"

CONTENTS = {"out": "the compressed network", "onnx": "the same for ONNX runtimes", "report": "the report"}
"""What is in the file of each option."""

SHARED = "What to keep of the cost (give one)"
"""Under which heading help shows the budgets."""

Macs = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Of multiply-accumulates, such as 0.5.", rich_help_panel=SHARED),
]
Bytes = Annotated[
    float | None, typer.Option("--bytes", metavar="SHARE", help="Of the weights' bytes.", rich_help_panel=SHARED)
]
Energy = Annotated[float | None, typer.Option(metavar="SHARE", help="Of the estimated energy.", rich_help_panel=SHARED)]
Latency = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Of the milliseconds measured here, on one thread.", rich_help_panel=SHARED),
]
LatencyBits = Annotated[int, typer.Option(metavar="N", help="Measure --latency in 32 bits, or quantized to 8.")]
SchemeName = Annotated[
    str,
    typer.Option(metavar="NAME", help=f"What makes it cheaper: {', '.join(SCHEMES)}.", autocompletion=among(SCHEMES)),
]
Multiple = Annotated[
    int, typer.Option(metavar="N", help="Widths and ranks are multiples of N; 8 or 16 run faster on most hardware.")
]
Criterion = Annotated[
    str,
    typer.Option(
        metavar="NAME", help=f"How channels are chosen: {', '.join(CRITERIA)}.", autocompletion=among(CRITERIA)
    ),
]
FittedTo = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="DATA",
        help="Inputs to fit to; labels are not read.",
        show_default="3/5 of --data; 1/5 chooses, 1/5 confirms",
        rich_help_panel=DATA,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", metavar="FILE", help="What to write: model.mj, a network, or model.onnx.", rich_help_panel=FILES
    ),
]


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
    onnx: OnnxFile = None,
    report: ReportFile = None,
    work_folder: WorkFolder = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a network cheaper without training: fewer channels, layers in low-rank form, all fitted to the original.

    How much of each layer goes is found in closed form from some hundred
    inputs; how channels and low-rank forms share the work is tried, the best
    by the metric is taken, and scored again on other samples. The network
    stays in floating point: quantize the saved file afterwards.

    \b
    microjoule compress zoo:digits_resnet --data zoo:digits_test \\
        --calibration zoo:digits_train --macs 0.5 --out half.mj
    microjoule compress model.pt2 --data test.npz --macs 0.5 --multiple 8 \\
        --report half.html --out half.mj
    microjoule compress model.pt2 --data test.npz --macs 0.5 \\
        --scheme channel-pruning --criterion lasso --out half.mj
    microjoule compress model.pt2 --data test.npz --bytes 0.3 \\
        --scheme low-rank --out small.mj --onnx small.onnx
    microjoule quantize half.mj --data images/ --out half.int8.mj
    """
    methods, ways = scheme_of(scheme)
    asked = _budget({"--macs": macs, "--bytes": bytes_, "--energy": energy, "--latency": latency})
    asked |= {"multiple": multiple, "criterion": criterion_of(criterion), "methods": methods, "ways": ways}
    asked |= {"samples": calibration_samples, "seed": seed, "folder": work_folder, "latency_bits": latency_bits}
    _check(metric, out, onnx, report, [model, data, calibration, confirm])
    named: dict[str, Any] = {"calibration": calibration, "confirm": confirm, "inputs": calibration_samples}
    reading = work.Reading(size, normalise, prepare, None, classes, samples, zoo_data, seed, shape, device)
    task = work.find_task(model, data, reading, metric=metric, **named)
    result = mj.compress(*task.scored, calibration=task.inputs, confirm=task.confirm, **asked)
    _finish(result, {"out": out, "onnx": onnx, "report": report}, f"{STAGE} {model}", as_json=json)


def _check(metric: str | None, out: Path, onnx: Path | None, report: Path | None, inputs: list[str | None]) -> None:
    """See that there is what was asked for, and that every file can be written."""
    check_metric(metric)
    places = (("--out", out, ".mj .onnx"), ("--onnx", onnx, ".onnx"), ("--report", report, ".html"))
    work.check_outputs(work.outputs(*places), inputs)


def _budget(given: dict[str, float | None]) -> dict[str, Any]:
    """The budget as `mj.compress` takes it.

    Raises:
        SettingError: unless exactly one is given, or for a share that there is not.
    """
    option, share = work.budget_of(**given)
    return {"size" if option == "--bytes" else option.removeprefix("--"): share}


def scheme_of(name: str) -> tuple[Any, tuple[float, ...]]:
    """The low-rank forms of a scheme, and how much of the saving channels do.

    Raises:
        SettingError: for another name.
    """
    return work.SCHEMES[one_of("--scheme", name, SCHEMES).replace("-", "_")]


def criterion_of(name: str) -> str:
    """What a criterion is called in Python.

    Raises:
        SettingError: if there is none of that name.
    """
    return one_of("--criterion", name, CRITERIA).replace("-", "_")


def _finish(network: "mj.Network", paths: dict[str, Path | None], title: str, *, as_json: bool) -> None:
    """Write and print what was made."""
    record = next(one for one in reversed(network.history) if isinstance(one, work.Compressed))
    asked = {name: path for name, path in paths.items() if path is not None}
    work.write_network(network, asked["out"], STAGE)
    if "onnx" in asked:
        mj.export(network, asked["onnx"], stage=STAGE)
    if "report" in asked:
        mj.report(network, asked["report"], title=title)
    table, outcome = work.rich_table(work.compressed_table(record)), work.compressed(record).summary
    files = work.written_table({path: CONTENTS[name] for name, path in asked.items()})
    facts = {name: str(path) for name, path in asked.items()}
    records: list[Record] = [record, *work.notices(network.history)]
    work.finish(records, table, outcome, files, as_json=as_json, **facts)
