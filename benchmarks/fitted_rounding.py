"""What 4-bit networks lose, rounded by GPTQ and AdaRound from a few hundred unlabelled inputs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

import microjoule as mj
from benchmarks.differences import SEEDS, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import (
    DEEPLAB,
    DS_CNN,
    MOBILENET_V1,
    MOBILENET_V2,
    SQUEEZENET,
    Subject,
    drawn,
    folder,
    images,
    scored,
    subject,
)
from microjoule.execution.compare import compare
from microjoule.records.measured import Evaluated

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


def parts(data: Path) -> Sequence[Part]:
    """The loss of every network, and that two runs with one seed have the same integers.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    channel, gptq, adaround = "onnxruntime", mj.recipes.gptq, mj.recipes.adaround
    twenty = [Case(gptq, channel, 4, 4, "<= 1.5"), Case(adaround, channel, 4, 4, "<= 1.5")]
    v2 = [Case(gptq, channel, 4, 8, "<= 1.5"), Case(adaround, channel, 4, 8, "<= 1.5")]
    v2 += [Case(gptq, "per-tensor", 4, 8, "<= 2.5")]
    squeezenet = [Case(gptq, channel, 4, 8, "<= 1.5"), Case(adaround, channel, 4, 8, None)]

    def part(name: str, minutes: float, load: Load, cases: list[Case]) -> Part:
        return Part(name, minutes, lambda kept: _losses(load, cases, kept))

    return [
        Part("twice", 1, lambda _: _same_twice(*cifar(RESNET20, data, 512, 0))),
        part(RESNET20, 2, partial(cifar, RESNET20, data, 512), twenty),
        part(RESNET56, 5, partial(cifar, RESNET56, data, 1024), [Case(adaround, channel, 4, 4, "<= 1.5")]),
        part(DS_CNN, 1, partial(keywords, data), [Case(gptq, channel, 4, 8, "<= 0.7")]),
        part(MOBILENET_V1, 9, partial(imagenet, MOBILENET_V1, data, 500), [Case(adaround, channel, 4, 8, "<= 4.0")]),
        part(SQUEEZENET, 30, partial(imagenet, SQUEEZENET, data, 300), squeezenet),
        part(DEEPLAB, 30, partial(coco, data, 48), [Case(gptq, channel, 4, 8, "<= 2.0")]),
        part(MOBILENET_V2, 100, partial(imagenet, MOBILENET_V2, data, 300), v2),
        Part("recovered", 17, lambda kept: _recovered(*imagenet(MOBILENET_V2, data, 300, 0), kept)),
    ]


Load = Callable[[int], tuple[Subject, Any]]
"""A seed -> a network with what scores it, and what it is fitted to."""


def _losses(load: Load, cases: list[Case], kept: Partial) -> Iterator[Figure]:
    given, _ = load(SEEDS[0])
    exact = kept.evaluated(f"{given.name} FP32", lambda: scored(given.network, given, "FP32"))
    yield score(f"{given.name} FP32", exact)
    for case in cases:
        name = f"{given.name} {case.words}"
        found = [
            kept.evaluated(f"{name} {seed}", partial(_fitted, load, case, seed, kept.place(f"{name} {seed} work")))
            for seed in SEEDS
        ]
        told = f"fitted to {len(load(SEEDS[0])[1])} others of each seed"
        yield below(f"{name}, below FP32", exact, found, goal=case.goal, told=told)


def _fitted(load: Load, case: Case, seed: int, folder: Path | None) -> Evaluated:
    given, data = load(seed)
    settings: dict[str, Any] = {"target": case.target, "weights": case.weights, "activations": case.activations}
    settings |= {"input_range": given.input_range, "seed": seed, "folder": folder}
    return scored(case.recipe(given.network, data, **settings), given, case.recipe.__name__)


def _recovered(given: Subject, data: Any, kept: Partial) -> Iterator[Figure]:
    """The share of what nearest rounding of the weights to 4 bits loses that AdaRound gets back, activations exact."""
    fits: dict[str, Callable[[mj.Network], Any]] = {
        "nearest": mj.round_weights,
        "AdaRound": lambda network: mj.adaround(network, data, activation=False),
    }
    exact = kept.evaluated("recovered FP32", lambda: scored(given.network, given, "FP32"))
    nearest, fitted = (
        kept.evaluated(f"recovered {name}", partial(_weights_alone, given, data, fit, name))
        for name, fit in fits.items()
    )
    share = (fitted.value - nearest.value) / (exact.value - nearest.value)
    lost = compare(fitted, exact)
    error = (lost.standard_error or 0.0) / (exact.value - nearest.value)
    told = (
        f"FP32 {exact.value:.2f}, nearest {nearest.value:.2f}, AdaRound {fitted.value:.2f}, {exact.samples} samples; "
    )
    told += f"{lost.won} won, {lost.lost} lost against FP32; grids from smallest to largest weight"
    yield Figure(f"{given.name} W4A32, recovered by AdaRound", share, "share", ">= 0.95", told, error)


def _weights_alone(given: Subject, data: Any, fit: Callable[[mj.Network], Any], name: str) -> Evaluated:
    network = given.network.copy()
    mj.fold_batch_norms(network)
    mj.fold_constant_channels(network)
    mj.quantize(network, weights=4, activations=16)
    mj.calibrate(network, data)
    fit(network)
    for quantizer in network.quantizers.values():
        quantizer.enabled = False
    return scored(network, given, name)


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


# Networks and their data ----------------------------------------------------------------------------------------------


def cifar(name: str, data: Path, count: int, seed: int) -> tuple[Subject, Any]:
    """A ResNet with the images that score it, and others to fit to, drawn with a seed."""
    given = subject(name, data, samples="cifar10_jpeg", part="/test")
    return given, drawn(mj.zoo.dataset(folder(data, "cifar10_jpeg") + "/train", model=name, data=data), count, seed)


def keywords(data: Path, seed: int) -> tuple[Subject, Any]:
    """The keyword network with the samples that score it, and others to fit to; all seeds fit to the same."""
    del seed
    given = subject(DS_CNN, data, samples="kws01")
    whole = given.labelled
    others = Subset(whole, range(KEYWORDS, len(whole)))
    rest = Subject(given.network, others, given.metric, given.input_range, given.name)
    return rest, Subset(whole, range(KEYWORDS))


def imagenet(name: str, data: Path, count: int, seed: int) -> tuple[Subject, Any]:
    """A network with the images of the validation set that score it, and others to fit to, drawn with a seed."""
    return subject(name, data, samples="imagenet_val650"), images(name, data, count, seed=seed)


def coco(data: Path, count: int, seed: int) -> tuple[Subject, Any]:
    """DeepLab with the images that score it, and others of ImageNet to fit to, drawn with a seed."""
    given = subject(DEEPLAB, data, samples="coco128_val", part="/masks", metric="miou")
    return given, images(DEEPLAB, data, count, seed=seed)
