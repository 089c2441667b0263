"""What a network loses whose layers share the bit operations of W4A8 everywhere as they need them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.differences import SEEDS, below, score
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from benchmarks.subjects import MOBILENET_V2, Subject, images, scored, subject
from microjoule.records.decided import MixedPrecision
from microjoule.records.facts import Record
from microjoule.records.measured import Evaluated

BUDGET, IMAGES = "W4A8", 300

CANDIDATES = ((3, 8), (4, 8), (5, 8), (6, 8), (8, 8))
"""Fewer bits here pay for more there; activations keep theirs."""


def parts(data: Path) -> Sequence[Part]:
    """The loss of accuracy, what of the budget is spent, and what the proof is worth next to the greedy rule.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part(MOBILENET_V2, 150, lambda kept: _figures(data, kept))]


def _figures(data: Path, kept: Partial) -> Iterator[Figure]:
    given = subject(MOBILENET_V2, data, samples="imagenet_val650")
    exact = kept.evaluated("FP32", lambda: scored(given.network, given, "FP32"))
    yield score(f"{given.name} FP32", exact)
    found, choices = [], []
    for seed in SEEDS:
        evaluated, choice = kept.records(f"seed {seed}", partial(_made, given, data, seed, kept.place(f"work {seed}")))
        assert isinstance(evaluated, Evaluated)
        assert isinstance(choice, MixedPrecision)
        found.append(evaluated)
        choices.append(choice)
    name = f"{given.name} mixed precision at the bit operations of {BUDGET}"
    widths = ", ".join(f"{many} of {bits}" for bits, many in sorted(Counter(choices[0].weights.values()).items()))
    told = f"fitted to {IMAGES} others of each seed; layers by bits with seed {SEEDS[0]}: {widths}"
    yield below(f"{name}, below FP32", exact, found, goal="<= 1.0", told=told)
    spent = max(one.spent / one.budget for one in choices)
    yield Figure(f"{name}, spent", spent, "share", "<= 1.0", f"{choices[0].budget:.4g} BOPs; the most of all seeds")
    record = max(choices, key=lambda one: one.loss / one.bound)
    proof = f"{record.loss:.4g} nats, greedy {record.greedy_loss:.4g}; no choice is below {record.bound:.4g}"
    yield Figure(f"{name}, predicted loss over its bound", record.loss / record.bound, "x", "<= 1.0", proof)


def _made(given: Subject, data: Path, seed: int, folder: Path | None) -> list[Record]:
    fitted = images(MOBILENET_V2, data, IMAGES, seed=seed)
    bounds = given.input_range
    settings: dict[str, Any] = {"budget": BUDGET, "candidates": CANDIDATES, "input_range": bounds, "seed": seed}
    made = mj.recipes.mixed_precision(given.network, fitted, **settings, folder=folder)
    record = next(record for record in made.history if isinstance(record, MixedPrecision))
    return [scored(made, given, "mixed precision"), record]
