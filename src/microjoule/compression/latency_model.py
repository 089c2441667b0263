"""How long a layer takes, by its sizes: what a budget of milliseconds is divided by, before anything is measured.

A network takes a fixed time and a time for each layer, and a layer's is a sum of parts in proportion to its sizes, with
factors that are never negative:

    t  =  fixed + sum over layers of (factors . sizes)        least squares of (t' - t) / t, t as measured

Sizes are those of a layer, and those of the blocks that vector units take: a kernel for 16 channels at once works as
long on 9 as on 16. Each layer has `LEAST` of the network's time in proportion to its products beside what is fitted, so
that nothing is free.

Source: Yang et al. 2018, NetAdapt, https://arxiv.org/abs/1804.03230 ("fast resource consumption estimation": latency as
a sum over layers; there of layers measured alone, here of whole networks, where layers hand values over as they will);
Lawson and Hanson 1974, Solving Least Squares Problems, chapter 23 (factors that are not negative).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.optimize import nnls

from microjoule.compression.prices import Currency, Work

LATENCY = "latency"
"""The currency's name."""

BLOCK, QUAD = 16, 4
"""Channels that ONNX Runtime's convolutions take at once with AVX-512, and those of which their inputs have to be
multiples; others take a slower way (its NchwcTransformer)."""

LEAST = 0.01
"""The share of the time that is divided by products alone."""


# Sizes ----------------------------------------------------------------------------------------------------------------


def kind(work: Work) -> str:
    """The kernel that a layer runs in."""
    if work.groups > 1:
        return "grouped"
    if len(work.weight) == 2:
        return "linear"
    return "1x1" if prod(work.weight[2:]) == 1 else "kernel"


def layer_sizes(work: Work) -> Counter[str]:
    """What the time of a layer is in proportion to, by name."""
    out, each, *kernel = work.weight
    padded = _blocks(out) * (each if each < BLOCK else _blocks(each)) * prod(kernel) * work.places
    products = {f"{kind(work)} products": work.macs, f"{kind(work)} products in blocks": padded}
    if each % QUAD and each >= BLOCK:
        products["products of uneven inputs"] = work.macs
    return Counter({"layers": 1, **products, "values read": work.read, "values written": work.written})


def _blocks(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


# The fit --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """How long layers take.

    Args:
        fixed_ms: what a network takes beside its layers.
        factors: milliseconds for one of each size, by name.
        least_ms: for each product, whatever the factors are.
        relative_error: the root mean square over networks, each foreseen by a fit of the others.
    """

    fixed_ms: float
    factors: Mapping[str, float]
    least_ms: float
    relative_error: float

    @property
    def currency(self) -> Currency:
        """For a menu: the time of a layer."""
        return Currency(LATENCY, "ms", self.layer_ms)

    def layer_ms(self, work: Work) -> float:
        """How long a layer takes."""
        found = sum(self.factors.get(name, 0.0) * size for name, size in layer_sizes(work).items())
        return found + self.least_ms * work.macs


def latency_model(networks: Sequence[Sequence[Work]], times_ms: Sequence[float]) -> LatencyModel:
    """The factors that say best what was measured.

    Args:
        networks: the layers of each, every call of each; the original first.
        times_ms: as measured.
    """
    sizes = [sum((layer_sizes(work) for work in works), Counter[str]()) for works in networks]
    names = sorted({name for one in sizes for name in one})
    rows, times = np.array([[1, *(one[name] for name in names)] for one in sizes], float), np.array(times_ms)
    macs = np.array([sum(work.macs for work in works) for works in networks], float)
    least = LEAST * times[0] / macs[0]
    rest, others = times - least * macs, ~np.eye(len(times), dtype=bool)
    foreseen = [row @ _fitted(rows[some], rest[some], times[some]) for row, some in zip(rows, others, strict=True)]
    error = float(np.sqrt(np.mean(np.square((foreseen - rest) / times))))
    fixed, *factors = _fitted(rows, rest, times).tolist()
    return LatencyModel(fixed, dict(zip(names, factors, strict=True)), float(least), error)


def _fitted(rows: np.ndarray, wanted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The factors, none negative, with the least squares of errors over times."""
    scale = np.maximum(rows.max(0), 1)
    found: np.ndarray = nnls(rows / scale / times[:, None], wanted / times)[0] / scale
    return found
