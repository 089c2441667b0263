"""What recipes have in common: their bits and exceptions, and the record of how they were run."""

import time
from collections.abc import Mapping
from typing import Any

from microjoule.graph.network import Network
from microjoule.records.facts import Run
from microjoule.records.machine import this_machine


def example_range(network: Network) -> tuple[float, float]:
    """The smallest and the largest value of a network's floating-point example inputs; (0, 0) if it has none."""
    tensors = [tensor for tensor in network.example.tensors if tensor.is_floating_point()]
    return min((t.min().item() for t in tensors), default=0.0), max((t.max().item() for t in tensors), default=0.0)


def run_record(recipe: str, settings: Mapping[str, Any], seed: int | None, started: float) -> Run:
    """How a recipe was run.

    Args:
        recipe: its name.
        settings: what it was given; what is None or empty is left out.
        seed: or None, if nothing in it is random.
        started: `time.perf_counter()` when it began.
    """
    words = {name: str(value) for name, value in settings.items() if value not in (None, {})}
    return Run(recipe, words, seed, time.perf_counter() - started, this_machine())
