"""`microjoule quickstart`: the main job from end to end on a small network that comes along, by public names alone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import microjoule as mj
from microjoule.cli import streams, work
from microjoule.cli.choices import EXIT_CHECK_FAILED
from microjoule.cli.options import FILES, Json, Seed
from microjoule.errors import FileError

if TYPE_CHECKING:
    from microjoule.recipes.deliver import Delivered

MODEL = "digits_resnet"
STAGE = "data-free W8A8"
VERIFIED_SAMPLES = 256
RUNS = 100


def quickstart(
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FOLDER", help="Where the files go; it is made if need be.", rich_help_panel=FILES
        ),
    ] = Path("quickstart"),
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Quantize an embedded network without data, export it, verify it, measure it, and write a report.

    The network is a small ResNet for scikit-learn's digits, quantized to 8
    bits for ONNX Runtime.

    \b
    microjoule quickstart
    microjoule quickstart --out somewhere/else --json
    """
    started = time.perf_counter()
    _make(out)
    work.seed_everything(seed)
    delivered = run(out, seed, streams.say)
    history, seconds = delivered.network.history, time.perf_counter() - started
    amounts = {"ram_bytes": delivered.ram_bytes, "flash_bytes": delivered.flash_bytes}
    facts = {"report": str(delivered.report), "seconds": seconds, "passed": delivered.agrees, **amounts}
    done = f"Done in {seconds:.0f} s. Open {delivered.report}; next: microjoule auto --help"
    shown = (work.summary(history), work.written_table(delivered.files), "", done)
    work.finish(history, *shown, as_json=json, **facts)
    if not delivered.agrees:
        raise typer.Exit(EXIT_CHECK_FAILED)


def run(out: Path, seed: int, say: Callable[[str], None]) -> "Delivered":
    """The main job, step by step.

    Args:
        out: the folder of the files.
        seed: of every draw.
        say: is told what is being done.
    """
    images, metric = mj.zoo.dataset("digits_test"), mj.zoo.metric("top1")

    say("Capture, and score in floating point ...")
    network = mj.capture(mj.zoo.load(MODEL), images[0][0][None])
    mj.evaluate(network, images, metric, stage="fp32")

    say("Quantize to 8 bits, without data ...")
    quantized = mj.recipes.data_free(network, input_range=(0, 1), seed=seed)
    mj.evaluate(quantized, images, metric, stage=STAGE)
    mj.histograms(quantized, images)

    say("Export with integers inside, compare with the simulation layer by layer, measure in ONNX Runtime ...")
    return mj.recipes.deliver(
        quantized,
        out / "int8",
        images,
        original=network,
        stage=STAGE,
        report=out / "report.html",
        title="Quickstart: digits in 8 bits",
        samples=VERIFIED_SAMPLES,
        runs=RUNS,
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            str(folder), f"cannot be made: {error.strerror or error}", remedy="choose another folder with --out"
        ) from error
