"""The order in which samples are read: classes take turns, so that however few are used, all classes are among them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset


def spread_order(labels: Sequence[int], seed: int) -> list[int]:
    """All samples in an order whose every beginning holds the classes as evenly as can be, drawn by a seed.

    Args:
        labels: one a sample.
        seed: gives the same order again.
    """
    generator = torch.Generator().manual_seed(seed)
    members: dict[int, list[int]] = {}
    for number in torch.randperm(len(labels), generator=generator).tolist():
        members.setdefault(labels[number], []).append(number)
    order: list[int] = []
    longest = max(map(len, members.values()), default=0)
    classes = sorted(members)
    for place in range(longest):
        turn = [classes[at] for at in torch.randperm(len(classes), generator=generator).tolist()]
        order += [members[name][place] for name in turn if place < len(members[name])]
    return order


class Ordered(Dataset[Any]):
    """Some samples of a data set, in an order.

    Args:
        data: map-style; a way of its own to make batches is kept.
        order: the numbers of its samples.
        name: for records.
    """

    def __init__(self, data: Any, order: Sequence[int], name: str) -> None:
        self.name = name
        labels = getattr(data, "labels", None)
        self.labels = None if labels is None else [labels[number] for number in order]
        self.collate = getattr(data, "collate", None)
        self._data, self._order = data, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Any:
        """A sample, as the data set gives it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._data[self._order[index]]


def sampled(data: Any, labels: Sequence[int] | None, samples: int | None, seed: int) -> Ordered:
    """So many samples of a data set, spread over its classes, under a name that says so.

    Args:
        data: map-style, with a name.
        labels: one a sample; None where there are none, and any samples are drawn.
        samples: how many at most; None for all.
        seed: of the draw.
    """
    total = len(data)
    order = spread_order(labels if labels is not None else [0] * total, seed)
    if samples is None or samples >= total:
        return Ordered(data, order, data.name)
    return Ordered(data, order[:samples], f"{data.name} ({samples} of {total}, seed {seed})")
