"""ResNet-20 at half its products, fine-tuned by distillation, against the original after the same training."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.differences import SEEDS, above, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import Subject, drawn, last_score, scored, subject
from microjoule.execution.augment import flips_and_shifts
from microjoule.records.measured import Evaluated

RESNET20 = "resnet20_cifar10"

EPOCHS = 12
"""That both networks together take about an hour on two cores."""

CALIBRATION = 1000
"""Training images, drawn with each seed: compression is fitted to them, and ways are chosen by them."""


def parts(data: Path) -> Sequence[Part]:
    """Accuracy as it is, compressed, and both fine-tuned alike.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part(RESNET20, 190, partial(_figures, data))]


def _figures(data: Path, kept: Partial) -> Iterator[Figure]:
    given = subject(RESNET20, data, samples="cifar10_jpeg")
    training: Any = mj.zoo.dataset("cifar10_jpeg/train", model=RESNET20, data=data)
    exact = kept.evaluated("FP32", lambda: scored(given.network, given, "FP32", batch_size=100))
    yield score(f"{RESNET20} FP32", exact)
    told = f"{EPOCHS} epochs of {len(training)} images"
    tuned = [kept.evaluated(f"tuned {seed}", partial(_original, given, training, seed)) for seed in SEEDS]
    yield above(f"{RESNET20} fine-tuned, above FP32", exact, tuned, told=told)
    smaller = [_smaller(given, training, seed, kept) for seed in SEEDS]
    at_once = [last_score(network, "at half the MACs") for network in smaller]
    share = mj.costs(smaller[0]).macs / mj.costs(given.network).macs
    yield below(f"{RESNET20} at half the MACs, below FP32", exact, at_once, told=f"{share:.3f} are left")
    found = [
        kept.evaluated(f"smaller tuned {seed}", partial(_compressed, network, given, training, seed))
        for seed, network in zip(SEEDS, smaller, strict=True)
    ]
    name = f"{RESNET20} at half the MACs, both fine-tuned, above the original"
    yield above(name, tuned, found, goal=">= -1.0", told=told)


def _smaller(given: Subject, training: Any, seed: int, kept: Partial) -> mj.Network:
    some = drawn(training, CALIBRATION, seed)
    how: dict[str, Any] = {"macs": 0.5, "calibration": some, "samples": CALIBRATION, "seed": seed}
    folder = kept.place(f"compressed {seed}")
    return mj.compress(given.network, some, given.metric, confirm=given.labelled, folder=folder, **how)


def _original(given: Subject, training: Any, seed: int) -> Evaluated:
    return _tuned(given.network.copy(), given, training, "the original, fine-tuned", seed)


def _compressed(network: mj.Network, given: Subject, training: Any, seed: int) -> Evaluated:
    return _tuned(network, given, training, "half the MACs, fine-tuned", seed)


def _tuned(network: mj.Network, given: Subject, training: Any, stage: str, seed: int) -> Evaluated:
    """The score after training with the original as its teacher."""
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
        seed=seed,
    )
    return scored(network, given, stage, batch_size=100)
