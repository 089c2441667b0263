"""Labelled data in parts that share no sample: one to fit to, one to choose by, one to confirm on.

What was chosen by its score on some samples scores too well on these. Other samples, that nothing was chosen by, tell
what it is worth.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from microjoule.execution.batches import Batches
from microjoule.execution.binding import Batch
from microjoule.execution.signature import part_of, part_of_targets


def parts(data: Batches, shares: Sequence[float], names: Sequence[str], *, whole: bool, seed: int) -> list[Batches]:
    """Divide labelled data at random, with each class, where targets are classes, in every part alike.

    The same data in the same order is always divided in the same way. Nothing is held: each part goes through all of
    the data, and leaves out what is not its own.

    Args:
        data: labelled, in the same order each time that it is gone through.
        shares: of the parts, which add up to 1.
        names: what the parts are called, beside the data's own name.
        whole: whether batches stay whole, for a network that takes no other size.
        seed: of the draws.

    Raises:
        DataError: while going through a part, if it holds no sample.
    """
    dealt = tuple(shares)
    settled: Any = {"samples": None, "labelled": True, "most": None, "bind": None, "settled": True}
    return [
        replace(data, start=partial(_part, data, number, dealt, seed, whole), name=f"{data.name} ({name})", **settled)
        for number, name in enumerate(names)
    ]


def _part(data: Batches, number: int, shares: tuple[float, ...], seed: int, whole: bool) -> Iterator[Batch]:  # noqa: FBT001
    deal = _Deal(shares, seed)
    for batch in data:
        samples = data.count(batch.inputs)
        if whole or _may_be_either(batch.targets, samples):
            if deal.next(None) == number:
                yield batch
            continue
        chosen = [at for at, class_ in enumerate(_classes(batch.targets, samples)) if deal.next(class_) == number]
        if chosen:
            some = torch.tensor(chosen)
            inputs = part_of(batch.inputs, some, data.axis)
            yield Batch(inputs, part_of_targets(batch.targets, some, samples, data.axis))


class _Deal:
    """Deals samples to parts: each to the one that lacks most of its class, and of all."""

    def __init__(self, shares: tuple[float, ...], seed: int) -> None:
        self._shares, self._chance = shares, random.Random(seed)
        self._all = [0] * len(shares)
        self._classes: dict[int | None, list[int]] = {}

    def next(self, class_: int | None) -> int:
        """The part of the next sample."""
        of_class = self._classes.setdefault(class_, [0] * len(self._shares))
        weight = 2 if any(of_class) else 0  # the first of a class goes where most is lacking, else all would go to one
        both = zip(self._lacks(of_class), self._lacks(self._all), strict=True)
        lacks = [weight * own + every for own, every in both]
        part = max(range(len(lacks)), key=lambda number: (round(lacks[number], 6), self._chance.random()))
        of_class[part] += 1
        self._all[part] += 1
        return part

    def _lacks(self, given: list[int]) -> list[float]:
        """How many samples each part lacks for its share of one more than were given."""
        total = sum(given) + 1
        return [share * total - own for share, own in zip(self._shares, given, strict=True)]


def _may_be_either(targets: Any, samples: int) -> bool:
    """Whether a list may hold an entry a sample as well as a tensor of all samples; such a batch is not divided."""
    if not isinstance(targets, list | tuple) or len(targets) != samples:
        return False
    return all(isinstance(part, Tensor) and part.dim() > 0 and len(part) == samples for part in targets)


def _classes(targets: Any, samples: int) -> list[int | None]:
    """The class of each sample, where targets are whole numbers, one a sample."""
    if isinstance(targets, Tensor) and targets.shape == (samples,) and not targets.is_floating_point():
        return [int(class_) for class_ in targets.tolist()]
    return [None] * samples
