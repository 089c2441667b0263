"""`microjoule quickstart`: the main job from end to end on a small network that comes along, by public names alone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

import microjoule as mj
from microjoule.cli.names import EXIT_CHECK_FAILED
from microjoule.cli.options import Json, Seed
from microjoule.cli.output import console, finish
from microjoule.cli.seed import seed_everything
from microjoule.errors import FileError
from microjoule.records.facts import Record
from microjoule.report.terminal import summary

MODEL = "digits_mobilenet_v2"
TARGET = "per-tensor"
WEIGHT_BITS = (4, 6, 8)
"""Activations have 8; the last is what gets exported."""

VERIFIED_SAMPLES = 256
RUNS = 30
NOTE = "A network as small as this one takes no less time in int8: the runtime's own work outweighs it. Larger ones do."


def quickstart(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go; it is made if need be.")] = Path(
        "quickstart"
    ),
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Quantize an embedded network without data, export it, run it, verify it, measure it, and write a report.

    The network is a small MobileNetV2 for scikit-learn's digits; one scale a tensor breaks it unless one takes care.

    \b
    microjoule quickstart
    microjoule quickstart --out somewhere/else --json
    """
    started = time.perf_counter()
    seed_everything(seed)
    _make(out)
    say = _silent if json else _say
    records, passed = run(out, seed, say)
    report = mj.report(records, out / "report.html", title="Quickstart: digits, one scale a tensor")
    seconds = time.perf_counter() - started
    done = (
        f"Report: {report}  ({seconds:.0f} s; the network is {out / 'int8.mj'}, the integer model {out / 'int8.onnx'})"
    )
    finish(records, summary(records), NOTE, done, as_json=json, report=str(report), seconds=seconds, passed=passed)
    if not passed:
        raise typer.Exit(EXIT_CHECK_FAILED)


def run(out: Path, seed: int, say: Callable[[str], None]) -> tuple[list[Record], bool]:
    """The main job, step by step.

    Returns:
        What it found, and whether the exported file computes what was simulated.
    """
    images, metric = mj.zoo.dataset("digits_test"), mj.zoo.metric("top1")

    say("Capture, and score in floating point")
    network = mj.capture(mj.zoo.load(MODEL), torch.rand(1, 1, 8, 8))
    mj.evaluate(network, images, metric, stage="fp32")
    mj.costs(network, stage="fp32")
    mj.export(network, out / "fp32.onnx", stage="fp32")

    found: list[Record] = []
    for weights in WEIGHT_BITS:
        say(f"Quantize to {weights}-bit weights, with no further care and data-free")
        naive = mj.recipes.naive(network, mj.zoo.dataset("digits_train"), target=TARGET, weights=weights)
        found.append(mj.evaluate(naive, images, metric, stage=f"naive W{weights}A8"))
        quantized = mj.recipes.data_free(network, target=TARGET, weights=weights, input_range=(0, 1), seed=seed)
        stage = f"data-free W{weights}A8"
        found.append(mj.evaluate(quantized, images, metric, stage=stage))

    say("Export with integers inside, and compare with the simulation layer by layer")
    mj.errors_by_layer(quantized, images, stage=stage)
    mj.histograms(quantized, images)
    mj.costs(quantized, stage=stage)
    mj.export(quantized, out / "int8.onnx", stage=stage)
    verified = mj.verify(quantized, out / "int8.onnx", images, samples=VERIFIED_SAMPLES)

    say("Measure in ONNX Runtime")
    files, stages = [out / "fp32.onnx", out / "int8.onnx"], ["fp32", stage]
    quantized.history += [mj.measure(path, runs=RUNS, stage=of) for path, of in zip(files, stages, strict=True)]
    quantized.save(out / "int8.mj")

    others = [record for record in found if record not in quantized.history]
    beginning = len(network.history)
    records = [*quantized.history[:beginning], *others, *quantized.history[beginning:]]
    return records, all(record.passed for record in verified)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            str(folder), f"cannot be made: {error.strerror or error}", remedy="choose another folder with --out"
        ) from error


def _say(text: str) -> None:
    console().print(f"{text} ...", markup=False, style="dim")


def _silent(text: str) -> None:
    del text
