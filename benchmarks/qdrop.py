"""Activations of 4 bits: QDrop, which learns block by block, against AdaRound, which learns layer by layer."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.differences import SEEDS, above, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import MOBILENET_V2, Subject, images, scored, subject
from microjoule.records.measured import Evaluated

IMAGES, ITERATIONS = 128, 100
"""For two cores: the published runs have 1024 images and 20,000 iterations a block."""

RECIPES: dict[str, Callable[..., mj.Network]] = {
    "AdaRound": mj.recipes.adaround,
    "QDrop": partial(mj.recipes.qdrop, iterations=ITERATIONS),
}


def parts(data: Path) -> Sequence[Part]:
    """Top-1 of MobileNetV2 with weights and activations of 4 bits everywhere.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part(MOBILENET_V2, 30, lambda kept: _figures(data, kept))]


def _figures(data: Path, kept: Partial) -> Iterator[Figure]:
    given = subject(MOBILENET_V2, data, samples="imagenet_val650")
    exact = kept.evaluated("FP32", lambda: scored(given.network, given, "FP32"))
    yield score(f"{given.name} FP32", exact)
    found = {
        name: [kept.evaluated(f"{name} {seed}", partial(made, given, data, name, seed)) for seed in SEEDS]
        for name in RECIPES
    }
    told = f"{IMAGES} images of each seed, QDrop with {ITERATIONS} iterations a block"
    for name, evaluated in found.items():
        yield below(f"{given.name} W4A4, {name}, below FP32", exact, evaluated, told=told)
    name = f"{given.name} W4A4, QDrop above AdaRound"
    yield above(name, found["AdaRound"], found["QDrop"], goal=">= 4.0", told=told)


def made(given: Subject, data: Path, name: str, seed: int) -> Evaluated:
    """A network that one of the recipes made, scored.

    Args:
        given: the network, and what scores it.
        data: a folder of the layout that the zoo reads.
        name: of the recipe.
        seed: of its draws, and of the images that it is fitted to.
    """
    fitted = images(given.name, data, IMAGES, seed=seed)
    bits: dict[str, Any] = {"weights": 4, "activations": 4, "input_range": given.input_range, "seed": seed}
    return scored(RECIPES[name](given.network, fitted, **bits), given, name)
