"""Every job that keeps its work in a folder, on a network that is small enough to be interrupted a hundred times."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import microjoule as mj
from microjoule.jobs.identity import Identity, network_facts
from microjoule.records.facts import Record
from microjoule.records.json_io import to_json

SAMPLES, SIZE, CLASSES = 96, 10, 4
"""Of the data: random images, and the class that an untrained network of the same kind gives them."""

NOT_COMPARED = {"seconds"}
"""Fields of records that differ from run to run."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a job works on.

    Args:
        network: in floating point.
        images: (samples, 1, size, size).
        labels: (samples,).
    """

    network: mj.Network
    images: Tensor
    labels: Tensor

    @property
    def labelled(self) -> tuple[Tensor, Tensor]:
        """Both."""
        return self.images, self.labels

    def quantized(self) -> mj.Network:
        """A copy with quantizers that have their ranges, not rounded for good."""
        network = self.network.copy()
        mj.quantize(network, weights=4)
        mj.calibrate(network, self.images)
        mj.avoid_ties(network)
        return network

    def with_other_data(self) -> "Given":
        """The same with one other value in the last image."""
        images = self.images.clone()
        images[-1, 0, 0, 0] += 0.125
        return replace(self, images=images)


def given() -> Given:
    """The network and its data, the same in every process."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, CLASSES)).eval()
    images = torch.rand(SAMPLES, 1, SIZE, SIZE)
    with torch.no_grad():
        scores: Tensor = module(images)
    labels = (scores - scores.mean(0)).argmax(1)
    return Given(mj.capture(module, images[:2]), images, labels)


def digest(*results: Any) -> str:
    """What tells results from others: all that networks compute by, and records without their times.

    Args:
        results: networks and records.
    """
    networks = (one for one in results if isinstance(one, mj.Network))
    told = [Identity(network_facts(one)).digest for one in networks]
    told += [to_json(_timeless(one)) for one in results if not isinstance(one, mj.Network)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _timeless(record: Record) -> Any:
    """A record, with 0 for all times in it."""
    found: dict[str, Any] = {}
    for name in record.__dataclass_fields__:
        value = getattr(record, name)
        if name in NOT_COMPARED:
            found[name] = 0.0
        elif isinstance(value, tuple):
            found[name] = tuple(_timeless(one) if hasattr(one, "__dataclass_fields__") else one for one in value)
    return replace(record, **found)


# The jobs -------------------------------------------------------------------------------------------------------------


def train(it: Given, folder: Path | None) -> str:
    """Eight epochs with AdamW, a moving average and validation."""
    network, metric = it.network.copy(), mj.zoo.metric("top1")
    how: dict[str, Any] = {"epochs": 8, "learning_rate": 0.01, "optimizer": "adamw", "ema": 0.9, "batch_size": 16}
    record = mj.train(network, it.labelled, **how, valid=it.labelled, metric=metric, folder=folder)
    return digest(network, record)


def bayesian_prune(it: Given, folder: Path | None) -> str:
    """Five epochs with gates, and three of fine-tuning."""
    network = it.network.copy()
    how: dict[str, Any] = {"epochs": 5, "finetune_epochs": 3, "compression": 1.5, "batch_size": 32}
    return digest(network, mj.bayesian_prune(network, it.labelled, **how, folder=folder))


def gptq(it: Given, folder: Path | None) -> str:
    """Layer by layer, as a step."""
    network = it.quantized()
    return digest(network, mj.gptq(network, it.images, folder=folder))


def adaround(it: Given, folder: Path | None) -> str:
    """Layer by layer, as a recipe."""
    return digest(mj.recipes.adaround(it.network, it.images, iterations=150, folder=folder))


def sequential_mse(it: Given, folder: Path | None) -> str:
    """Layer by layer, ranges too."""
    network = it.quantized()
    return digest(network, mj.sequential_mse(network, it.images, folder=folder))


def qdrop(it: Given, folder: Path | None) -> str:
    """GPTQ, and block by block after it."""
    return digest(mj.recipes.qdrop(it.network, it.images, iterations=40, folder=folder))


def sensitivity(it: Given, folder: Path | None) -> str:
    """Each quantizer alone, at two widths."""
    metric = mj.zoo.metric("top1")
    return digest(mj.sensitivity(it.quantized(), it.labelled, metric, bits=(3, 4, 8), folder=folder))


def mixed_precision(it: Given, folder: Path | None) -> str:
    """Bits for one budget."""
    return digest(mj.recipes.mixed_precision(it.network, it.images, budget="W6A8", folder=folder))


def pareto(it: Given, folder: Path | None) -> str:
    """Bits for three budgets, scored."""
    budgets = ("W4A8", "W6A8", "W8A8")
    return digest(mj.recipes.pareto(it.network, it.labelled, mj.zoo.metric("top1"), budgets=budgets, folder=folder))


def compress(it: Given, folder: Path | None) -> str:
    """Channels and low-rank forms, divided in three ways."""
    how: dict[str, Any] = {"macs": 0.6, "ways": (0.0, 0.5, 1.0)}
    return digest(mj.compress(it.network, it.labelled, mj.zoo.metric("top1"), **how, folder=folder))


def compression_front(it: Given, folder: Path | None) -> str:
    """Accuracy against cost, as `microjoule tradeoff` shows it."""
    how: dict[str, Any] = {"shares": (0.8, 0.6, 0.5), "ways": (0.0, 1.0)}
    return digest(mj.recipes.compression_front(it.network, it.labelled, mj.zoo.metric("top1"), **how, folder=folder))


def compression_sensitivity(it: Given, folder: Path | None) -> str:
    """Each layer and each group alone."""
    metric = mj.zoo.metric("top1")
    return digest(mj.compression_sensitivity(it.network, it.labelled, metric, shares=(0.3, 0.5, 0.7), folder=folder))


def auto(it: Given, folder: Path | None) -> str:
    """All attempts, as none is good enough."""
    how: dict[str, Any] = {"drop": -200.0, "weights": 4, "activations": 6, "iterations": 30}
    return digest(mj.reach(it.network, it.labelled, mj.zoo.metric("top1"), **how, folder=folder))


Job = Callable[[Given, Path | None], str]
"""What is given, and a folder or None -> what tells the result from others."""

JOBS: dict[str, Job] = {
    one.__name__: one
    for one in (
        *(train, bayesian_prune, gptq, adaround, sequential_mse, qdrop, sensitivity, mixed_precision, pareto),
        *(compress, compression_front, compression_sensitivity, auto),
    )
}
"""By name."""
