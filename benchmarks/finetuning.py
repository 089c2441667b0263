"""ResNet-20 at half its products, fine-tuned by distillation, against the original after the same training."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import Subject, score, subject
from microjoule.execution.augment import flips_and_shifts

RESNET20 = "resnet20_cifar10"

EPOCHS = 12
"""That both networks together take about an hour on two cores."""

CALIBRATION = 1000
"""Training images, which come in a random order: compression is fitted to them, and ways are chosen by them."""


def figures(data: Path) -> Iterator[Figure]:
    """Accuracy as it is, compressed, and both fine-tuned alike."""
    given = subject(RESNET20, data, samples="cifar10_jpeg")
    training: Any = mj.zoo.dataset("cifar10_jpeg/train", model=RESNET20, data=data)
    before = score(given.network, given, batch_size=100)
    yield Figure(f"{RESNET20} FP32", before, "%", None, f"{len(given.labelled)} images")
    tuned, seconds = _tuned(given.network.copy(), given, training)
    compared = f"{EPOCHS} epochs of {len(training)} images, {seconds / 60:.0f} minutes"
    yield Figure(f"{RESNET20} fine-tuned", tuned, "%", None, compared)
    some = mj.zoo.dataset("cifar10_jpeg/train", model=RESNET20, data=data, limit=CALIBRATION)
    smaller = mj.compress(given.network, some, given.metric, macs=0.5, calibration=some, samples=CALIBRATION)
    share = mj.costs(smaller).macs / mj.costs(given.network).macs
    at_once = score(smaller, given, batch_size=100)
    yield Figure(f"{RESNET20} at half the MACs, below FP32", before - at_once, "points", None, f"{share:.3f} are left")
    found, seconds = _tuned(smaller, given, training)
    compared = f"{found:.2f} against {tuned:.2f}, {seconds / 60:.0f} minutes"
    yield Figure(f"{RESNET20} at half the MACs, both fine-tuned, below", tuned - found, "points", "<= 1.0", compared)


def _tuned(network: mj.Network, given: Subject, training: Any) -> tuple[float, float]:
    """Accuracy after training with the original as its teacher, and how long that took."""
    started = time.perf_counter()
    mj.train(
        network,
        training,
        epochs=EPOCHS,
        learning_rate=0.01,
        batch_size=128,
        warmup=0.5,
        teacher=given.network,
        ema=0.998,
        augment=flips_and_shifts(),
    )
    return score(network, given, batch_size=100), time.perf_counter() - started
