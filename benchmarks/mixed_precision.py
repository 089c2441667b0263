"""What a network loses whose layers share the bit operations of W4A8 everywhere as they need them."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, images, score, subject
from microjoule.records.decided import MixedPrecision

BUDGET = "W4A8"

CANDIDATES = ((3, 8), (4, 8), (5, 8), (6, 8), (8, 8))
"""Fewer bits here pay for more there; activations keep theirs."""


def figures(data: Path) -> Iterator[Figure]:
    """The loss of accuracy, what of the budget is spent, and what the proof is worth next to the greedy rule."""
    given = subject(MOBILENET_V2, data, samples="imagenet_val650")
    calibration = images(MOBILENET_V2, data, 300)
    exact = score(given.network, given)
    started = time.perf_counter()
    bounds = given.input_range
    quantized = mj.recipes.mixed_precision(
        given.network, calibration, budget=BUDGET, candidates=CANDIDATES, input_range=bounds
    )
    took = time.perf_counter() - started
    record = next(record for record in quantized.history if isinstance(record, MixedPrecision))
    loss = exact - score(quantized, given)
    name = f"{given.name} mixed precision at the bit operations of {BUDGET}"
    widths = ", ".join(f"{count} of {bits} bits" for bits, count in sorted(Counter(record.weights.values()).items()))
    compared = (
        f"FP32 {exact:.2f}, {len(given.labelled)} samples; fitted to 300 others in {took:.0f} s; layers: {widths}"
    )
    yield Figure(f"{name}, below FP32", loss, "points", "<= 1.0", compared)
    spent = mj.costs(quantized).bops / record.budget
    yield Figure(f"{name}, spent", spent, "share", "<= 1.0", f"{record.budget:.4g} BOPs")
    proof = f"{record.loss:.4g} nats, greedy {record.greedy_loss:.4g}; no choice is below {record.bound:.4g}"
    yield Figure(f"{name}, predicted loss over its bound", record.loss / record.bound, "x", "<= 1.0", proof)
