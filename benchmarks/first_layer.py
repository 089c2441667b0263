"""Rounding of the first layer alone to 4 bits: by fixed rules, at random, and learned."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import microjoule as mj
from benchmarks.differences import SEEDS, above, below
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V1, Subject, images, scored, subject
from microjoule.records.measured import Evaluated

DRAWS, IMAGES = 10, 300

RULES: tuple[Literal["nearest", "floor", "ceil"], ...] = ("nearest", "floor", "ceil")


def figures(data: Path) -> Iterator[Figure]:
    """What top-1 loses by each rounding of the first layer, all else in floating point.

    The best of ten draws is chosen on the images that score it, so that it is better than a draw can be expected to be.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    given = subject(MOBILENET_V1, data, samples="imagenet_val650")
    exact = scored(given.network, given, "FP32")
    name = f"{given.name}, first layer alone at 4 bits"
    for how in RULES:
        yield below(f"{name}, {how}, below FP32", exact, [rounded(given, partial(mj.round_weights, how=how), how)])
    draws = [rounded(given, partial(mj.round_weights, how="stochastic", seed=seed), "draws") for seed in range(DRAWS)]
    best = max(draws, key=lambda one: one.value)
    yield below(f"{name}, stochastic, mean below FP32", exact, draws)
    yield below(f"{name}, stochastic, best below FP32", exact, [best], told=f"the best of {DRAWS} draws")
    learned = [
        rounded(given, partial(mj.adaround, data=fitted, activation=False, seed=seed), "AdaRound")
        for seed, fitted in ((seed, images(MOBILENET_V1, data, IMAGES, seed=seed)) for seed in SEEDS)
    ]
    yield below(f"{name}, AdaRound, below FP32", exact, learned)
    yield above(f"{name}, AdaRound above the best of {DRAWS} draws", best, learned, goal=">= 0")


def rounded(given: Subject, rounding: Callable[[mj.Network], object], stage: str) -> Evaluated:
    """The metric with a rounding of the first layer's weights.

    Args:
        given: the network and its labelled data.
        rounding: rounds what is quantized, in place.
        stage: what to call it.
    """
    network = given.network.copy()
    mj.fold_batch_norms(network)
    _, *others = (layer.path for layer in network.layers)
    mj.quantize(network, weights=4, layers=dict.fromkeys(others), target="per-tensor")
    for quantizer in network.quantizers.values():
        quantizer.enabled = False
    rounding(network)
    return scored(network, given, stage)
