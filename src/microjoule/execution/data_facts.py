"""The values of data as part of what tells a run from others: gone through once, batch by batch."""

from collections.abc import Callable
from typing import Any

import torch

from microjoule.errors import DataError
from microjoule.execution.batches import Batches
from microjoule.execution.progress import track
from microjoule.jobs.identity import DataFacts, Facts, values_digest


def read_facts(
    data: Batches,
    label: str = "data",
    *,
    targets: bool = True,
    seed: int | None = None,
    each: Callable[[tuple[Any, ...]], object] | None = None,
) -> Facts:
    """Go through data for what tells it from other data; the caller's random numbers stay as they are.

    Args:
        data: that can be gone through again, with the same values.
        label: how it is called in words.
        targets: whether the labels count.
        seed: of torch's generator each time that the data is gone through, where the run sets it, too.
        each: is called with the inputs of each batch, for what else is to be known of them.

    Raises:
        DataError: if the first batch has other values the next time, or there is none.
    """
    facts, before = DataFacts(label), ""
    with torch.random.fork_rng(devices=[]):
        _start(seed)
        for inputs, wanted in track(data, f"reading {label}", total=data.samples):
            facts.add(inputs, wanted if targets else None)
            if each is not None:
                each(inputs)
            before = before or values_digest((inputs, wanted))
        _start(seed)
        again = _first(data)
    if again is None:
        fact = "can be gone through only once, and a run with a folder reads it twice"
        raise DataError(data.name, fact, remedy="give a tensor, a dataset or a list, or leave the folder out")
    if values_digest(again) != before:
        fact = (
            "gives other values each time, so that it cannot be told whether a run with a folder goes on with the same"
        )
        raise DataError(data.name, fact, remedy="give it without shuffling or random changes, or leave the folder out")
    return facts.facts


def _start(seed: int | None) -> None:
    if seed is not None:
        torch.default_generator.manual_seed(seed)  # not that of a GPU, from which no data is drawn


def _first(data: Batches) -> tuple[Any, Any] | None:
    """The first batch; None if there is none any more."""
    try:
        inputs, targets = next(iter(data))
    except DataError:
        return None
    return inputs, targets
