"""One command to a target: `mj.reach` with a drop of 1.0 on six networks, and killed at 20 random moments."""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.fitted_rounding import RESNET20, cifar, keywords
from benchmarks.subjects import DEEPLAB, MOBILENET_V1, MOBILENET_V2, SQUEEZENET, Subject, images, subject
from microjoule.errors import FileError
from microjoule.records.decided import Reached

DROP, MINUTES = 1.0, 30

TARGET, WEIGHTS = "per-tensor", 8
"""One scale a tensor, which is hard for small networks."""

KILLS = 20

SETS = ("--data", "zoo:digits_test", "--calibration", "zoo:digits_train", "--calibration-samples", "64")
COMMAND = ("auto", "zoo:digits_mobilenet_v2", *SETS, "--weights", "3", "--target", "per-tensor", "--drop", "0.5")
"""Takes four attempts, the last of them layer by layer."""


def figures(data: Path) -> Iterator[Figure]:
    """What was reached and how long it took, network by network; then what kills do.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    yield from killed(random.Random(0), KILLS)
    for given, calibration in _subjects(data):
        yield from reached(given, calibration, TARGET, WEIGHTS)


def reached(given: Subject, calibration: Any, target: str, weights: int) -> Iterator[Figure]:
    """The drop of the network that was taken, and the minutes.

    Args:
        given: the network, and the labelled data that decides.
        calibration: unlabelled inputs.
        target: a target's name.
        weights: bits.
    """
    started = time.perf_counter()
    found = mj.reach(
        given.network,
        given.labelled,
        given.metric,
        calibration=calibration,
        drop=DROP,
        target=target,
        weights=weights,
        input_range=given.input_range,
    )
    minutes = (time.perf_counter() - started) / 60
    record = next(record for record in reversed(found.history) if isinstance(record, Reached))
    name = f"{given.name} auto, W{weights}A8 {target}"
    tried = ", ".join(f"{one.name} {one.drop:.2f}" for one in record.attempts if one.drop is not None)
    yield Figure(f"{name}, below FP32", record.taken.drop or 0.0, "points", f"<= {DROP}", f"tried: {tried}")
    yield Figure(f"{name}, time", minutes, "min", f"<= {MINUTES}", f"{len(record.attempts)} attempts")


def _subjects(data: Path) -> Iterator[tuple[Subject, Any]]:
    """Each network with what scores it and what it is fitted to, the quick ones first."""
    yield keywords(data)
    yield cifar(RESNET20, data)
    for name in (MOBILENET_V1, SQUEEZENET, MOBILENET_V2):
        yield subject(name, data, samples="imagenet_val650"), images(name, data, 300)
    yield (
        subject(DEEPLAB, data, samples="coco128_val", part="/masks", metric="miou"),
        images(DEEPLAB, data, 48),
    )


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
    if process.returncode:
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
