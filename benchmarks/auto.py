"""One command to a target: `mj.reach` with a drop of 1.0 on six networks, and killed at 20 random moments."""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import microjoule as mj
from benchmarks.differences import SEEDS
from benchmarks.figure import Figure
from benchmarks.fitted_rounding import RESNET20, Load, cifar, coco, imagenet, keywords
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import DEEPLAB, DS_CNN, MOBILENET_V1, MOBILENET_V2, SQUEEZENET, Subject
from microjoule.cli.choices import EXIT_CHECK_FAILED
from microjoule.errors import FileError
from microjoule.recipes.preparation import run_record
from microjoule.records.decided import Reached
from microjoule.records.facts import Run

DROP, MINUTES = 1.0, 30

TARGET, WEIGHTS = "per-tensor", 8
"""One scale a tensor, which is hard for small networks."""

KILLS = 20

SETS = ("--data", "zoo:digits_test", "--calibration", "zoo:digits_train", "--calibration-samples", "64")
COMMAND = ("auto", "zoo:digits_mobilenet_v2", *SETS, "--weights", "3", "--target", "per-tensor", "--drop", "0.5")
"""Takes four attempts, the last of them layer by layer."""


def parts(data: Path) -> Sequence[Part]:
    """What was reached and how long it took, network by network; then what kills do.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    images, coco_images = 300, 48
    loads: dict[str, tuple[float, Load]] = {
        DS_CNN: (0.2, partial(keywords, data)),
        RESNET20: (0.5, partial(cifar, RESNET20, data, 512)),
        **{name: (2, partial(imagenet, name, data, images)) for name in (MOBILENET_V1, SQUEEZENET, MOBILENET_V2)},
        DEEPLAB: (15, partial(coco, data, coco_images)),
    }
    networks = [Part(name, minutes, partial(_searches, load)) for name, (minutes, load) in loads.items()]
    return [Part("kills", 40, lambda _: killed(random.Random(0), KILLS)), *networks]


def _searches(load: Load, kept: Partial) -> Iterator[Figure]:
    """Three searches: each divides the data in other halves, one to choose by, one to confirm on."""
    for seed in SEEDS:
        yield from kept_search(load, seed, kept)


def kept_search(load: Load, seed: int, kept: Partial) -> Iterator[Figure]:
    """The drop of the network that was taken, on images that nothing was chosen by, and the minutes.

    Args:
        load: the network, the labelled data that is divided, and unlabelled inputs.
        seed: of the division, and of every draw.
        kept: what is done already.
    """
    given, calibration = load(seed)
    name = f"{given.name} {seed}"
    record, run = kept.records(name, lambda: search(given, calibration, seed, kept.place(f"{name} work")))
    assert isinstance(record, Reached)
    assert isinstance(run, Run)
    yield from told(record, f"{given.name} auto, W{WEIGHTS}A8 {TARGET}, seed {seed}", run.seconds)


def search(given: Subject, calibration: Any, seed: int, folder: Path | None = None) -> tuple[Reached, Run]:
    """One search, and how it was run.

    Args:
        given: the network, and the labelled data that chooses and confirms.
        calibration: unlabelled inputs.
        seed: as in `kept_search`.
        folder: keeps its work.
    """
    settings: dict[str, Any] = {"calibration": calibration, "drop": DROP, "target": TARGET, "weights": WEIGHTS}
    settings |= {"input_range": given.input_range, "seed": seed, "folder": folder}
    started = time.perf_counter()
    found = mj.reach(given.network, given.labelled, given.metric, **settings)
    record = next(record for record in reversed(found.history) if isinstance(record, Reached))
    return record, run_record("auto", {}, seed, started)


def told(record: Reached, name: str, seconds: float) -> Iterator[Figure]:
    """The figures of a search.

    Args:
        record: of it.
        name: of both figures.
        seconds: that it took.
    """
    confirmed = record.confirmed
    assert confirmed is not None
    tried = ", ".join(f"{one.name} {one.drop:.2f}" for one in record.attempts if one.drop is not None)
    counts = f"{confirmed.won} won, {confirmed.lost} lost of {confirmed.samples}"
    words = f"chosen on {record.samples} others: {tried}; {counts}"
    known: dict[str, Any] = {"error": confirmed.standard_error, "interval": confirmed.drop_interval}
    yield Figure(f"{name}, below FP32", confirmed.drop, "points", f"<= {DROP}", words, **known)
    yield Figure(f"{name}, time", seconds / 60, "min", f"<= {MINUTES}", f"{len(record.attempts)} attempts")


# Kills ----------------------------------------------------------------------------------------------------------------


def killed(chance: random.Random, kills: int) -> Iterator[Figure]:
    """Whether a search that is killed, and started again, ends as one that was left alone, and does nothing twice.

    Args:
        chance: chooses the moments, within the time that the whole command takes.
        kills: how many searches, each killed once.
    """
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        folder, started = Path(place), time.perf_counter()
        _finished(folder / "whole")
        whole = time.perf_counter() - started
        expected, same, once, moments = _outcome(folder / "whole"), 0, 0, []
        for number in range(kills):
            own = folder / str(number)
            moments.append(chance.uniform(0, whole))
            before = _killed(own, moments[-1])
            _finished(own)
            same += _outcome(own) == expected
            once += before.items() <= _written(own).items()
    moment = f"after {min(moments):.1f} to {max(moments):.1f} of {whole:.1f} s"
    yield Figure("auto killed at random moments, same result", same / kills, "share", "== 1", f"{kills} kills {moment}")
    name = "auto killed at random moments, no finished step again"
    yield Figure(
        name, once / kills, "share", "== 1", "networks and layers that were kept are the same files at the end"
    )


def _process(folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    starting = [sys.executable, "-c", "from microjoule.cli.app import main; main()"]
    words = [*COMMAND, "--work-folder", str(folder / "work"), "--out", str(folder / "found.mj")]
    return subprocess.Popen([*starting, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _finished(folder: Path) -> None:
    process = _process(folder)
    _, told = process.communicate()
    if process.returncode not in (0, EXIT_CHECK_FAILED):  # whether the drop is kept is another question
        raise FileError("microjoule auto", f"ended with {process.returncode}: {told[-200:]}", remedy="run it alone")


def _killed(folder: Path, seconds: float) -> dict[str, int]:
    """Start it, kill it after a while, and tell what it had kept."""
    process = _process(folder)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return _written(folder)


def _written(folder: Path) -> dict[str, int]:
    """When each network and each layer was written, in ns; notes about them may be added to."""
    files = [path for path in (folder / "work").rglob("*") if path.suffix in {".mj", ".safetensors"}]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def _outcome(folder: Path) -> tuple[list[list[int]], list[tuple[str, float | None]]]:
    """The integers of every layer, and what each attempt dropped."""
    network = mj.load(folder / "found.mj")
    record = next(record for record in reversed(network.history) if isinstance(record, Reached))
    held = [layer.quantizer.integers for layer in network.layers if layer.quantizer is not None]
    integers = [torch.empty(0) if one is None else one for one in held]
    return [one.flatten().tolist() for one in integers], [(one.name, one.drop) for one in record.attempts]
