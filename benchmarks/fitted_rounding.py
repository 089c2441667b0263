"""What 4-bit networks lose, rounded by GPTQ and AdaRound from a few hundred unlabelled inputs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import (
    DEEPLAB,
    DS_CNN,
    MOBILENET_V1,
    MOBILENET_V2,
    SQUEEZENET,
    Subject,
    folder,
    images,
    score,
    subject,
)

RESNET20, RESNET56 = "resnet20_cifar10", "resnet56_cifar10"

KEYWORDS = 100
"""The keyword set has one part only: its first samples, unlabelled, are fitted to, and the others score."""

Recipe = Callable[..., mj.Network]


@dataclass(frozen=True, slots=True)
class Case:
    """A quantized network: what it may lose, in points; None tells the loss alone."""

    recipe: Recipe
    target: str
    weights: int
    activations: int
    goal: str | None

    @property
    def words(self) -> str:
        """For the figure's name."""
        layout = "one scale a tensor" if self.target == "per-tensor" else "a scale a channel"
        return f"W{self.weights}A{self.activations}, {layout}, {self.recipe.__name__}"


def figures(data: Path) -> Iterator[Figure]:
    """The loss of every network, and that two runs with one seed have the same integers."""
    channel, gptq, adaround = "onnxruntime", mj.recipes.gptq, mj.recipes.adaround
    twenty, train = cifar(RESNET20, data)
    yield from _same_twice(twenty, train)
    yield from _losses(twenty, train, [Case(gptq, channel, 4, 4, "<= 1.5"), Case(adaround, channel, 4, 4, "<= 1.5")])
    fifty_six, train = cifar(RESNET56, data, 1024)
    yield from _losses(fifty_six, train, [Case(adaround, channel, 4, 4, "<= 1.5")])
    yield from _losses(*keywords(data), [Case(gptq, channel, 4, 8, "<= 0.7")])
    v1 = subject(MOBILENET_V1, data, samples="imagenet_val650")
    yield from _losses(v1, images(v1.name, data, 500), [Case(adaround, channel, 4, 8, "<= 4.0")])
    squeezenet = subject(SQUEEZENET, data, samples="imagenet_val650")
    cases = [Case(gptq, channel, 4, 8, "<= 1.5"), Case(adaround, channel, 4, 8, None)]
    yield from _losses(squeezenet, images(squeezenet.name, data, 300), cases)
    deeplab = subject(DEEPLAB, data, samples="coco128_val", part="/masks", metric="miou")
    yield from _losses(deeplab, images(deeplab.name, data, 48), [Case(gptq, channel, 4, 8, "<= 2.0")])
    v2, fitted = subject(MOBILENET_V2, data, samples="imagenet_val650"), images(MOBILENET_V2, data, 300)
    cases = [Case(gptq, channel, 4, 8, "<= 1.5"), Case(adaround, channel, 4, 8, "<= 1.5")]
    yield from _losses(v2, fitted, [*cases, Case(gptq, "per-tensor", 4, 8, "<= 2.5")])
    yield from _recovered(v2, fitted)


def _losses(given: Subject, data: Any, cases: list[Case]) -> Iterator[Figure]:
    exact = score(given.network, given)
    count = f"{len(given.labelled)} samples"
    yield Figure(f"{given.name} FP32", exact, given.metric.unit, None, count)
    for case in cases:
        started = time.perf_counter()
        bits = {"weights": case.weights, "activations": case.activations}
        quantized = case.recipe(given.network, data, target=case.target, input_range=given.input_range, **bits)
        took = time.perf_counter() - started
        loss = exact - score(quantized, given)
        compared = f"FP32 {exact:.2f}, {count}; fitted to {len(data)} others in {took:.0f} s"
        yield Figure(f"{given.name} {case.words}, below FP32", loss, "points", case.goal, compared)


def _recovered(given: Subject, data: Any) -> Iterator[Figure]:
    """The share of what nearest rounding of the weights to 4 bits loses that AdaRound gets back, activations exact."""
    exact = score(given.network, given)
    found = []
    for fit in (mj.round_weights, lambda network: mj.adaround(network, data, activation=False)):
        network = given.network.copy()
        mj.fold_batch_norms(network)
        mj.fold_constant_channels(network)
        mj.quantize(network, weights=4, activations=16)
        mj.calibrate(network, data)
        fit(network)
        for quantizer in network.quantizers.values():
            quantizer.enabled = False
        found.append(score(network, given))
    nearest, fitted = found
    share = (fitted - nearest) / (exact - nearest)
    compared = f"FP32 {exact:.2f}, nearest {nearest:.2f}, AdaRound {fitted:.2f}; grids from smallest to largest weight"
    yield Figure(f"{given.name} W4A32, recovered by AdaRound", share, "share", ">= 0.95", compared)


def _same_twice(given: Subject, data: Any) -> Iterator[Figure]:
    """The share of integers that two runs with one seed have in common."""
    runs = [mj.recipes.adaround(given.network, data, iterations=100, seed=1) for _ in range(2)]
    pairs = [
        (one.quantizer.integers, other.quantizer.integers)
        for one, other in zip(*(run.layers for run in runs), strict=True)
        if one.quantizer is not None and other.quantizer is not None
    ]
    equal = sum(int(torch.eq(*pair).sum()) for pair in pairs if pair[0] is not None)
    total = sum(one.numel() for one, _ in pairs if one is not None)
    yield Figure(f"{given.name} integers equal in two runs", equal / total, "share", "== 1", f"{total:,} weights")


def cifar(name: str, data: Path, count: int = 512) -> tuple[Subject, Any]:
    """A ResNet with the images that score it, and others to fit to."""
    given = subject(name, data, samples="cifar10_jpeg", part="/test")
    return given, mj.zoo.dataset(folder(data, "cifar10_jpeg") + "/train", model=name, data=data, limit=count)


def keywords(data: Path) -> tuple[Subject, Any]:
    """The keyword network with the samples that score it, and others to fit to."""
    given = subject(DS_CNN, data, samples="kws01")
    whole = given.labelled
    others = Subset(whole, range(KEYWORDS, len(whole)))
    scored = Subject(given.network, others, given.metric, given.input_range, given.name)
    return scored, Subset(whole, range(KEYWORDS))
