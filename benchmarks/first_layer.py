"""Rounding of the first layer alone to 4 bits: by fixed rules, at random, and learned."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V1, Subject, images, score, subject

DRAWS = 10


def figures(data: Path) -> Iterator[Figure]:
    """Top-1 with each rounding of the first layer, all else in floating point.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    given, fitted = subject(MOBILENET_V1, data, samples="imagenet_val650"), images(MOBILENET_V1, data, 300)
    exact = f"FP32 {score(given.network, given):.2f}"
    name = f"{given.name}, first layer alone at 4 bits"
    for how in ("nearest", "floor", "ceil"):
        yield Figure(f"{name}, {how}", scored(given, partial(mj.round_weights, how=how)), "%", None, exact)
    draws = [scored(given, partial(mj.round_weights, how="stochastic", seed=seed)) for seed in range(DRAWS)]
    spread = f"{DRAWS} draws, standard deviation {stdev(draws):.2f}; {exact}"
    yield Figure(f"{name}, stochastic, mean", mean(draws), "%", None, spread)
    yield Figure(f"{name}, stochastic, best", max(draws), "%", None, spread)
    learned = scored(given, lambda network: mj.adaround(network, fitted, activation=False))
    yield Figure(f"{name}, AdaRound", learned, "%", f">= {max(draws)}", f"the best of {DRAWS} draws {max(draws):.2f}")


def scored(given: Subject, rounding: Callable[[mj.Network], object]) -> float:
    """The metric with a rounding of the first layer's weights.

    Args:
        given: the network and its labelled data.
        rounding: rounds what is quantized, in place.
    """
    network = given.network.copy()
    mj.fold_batch_norms(network)
    _, *others = (layer.path for layer in network.layers)
    mj.quantize(network, weights=4, layers=dict.fromkeys(others), target="per-tensor")
    for quantizer in network.quantizers.values():
        quantizer.enabled = False
    rounding(network)
    return score(network, given)
