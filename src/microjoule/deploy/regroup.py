"""Samples put into batches of other sizes, so that what is compared is not only the example's batch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.execution.batches import Batch
from microjoule.execution.run import count


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that are run at once.

    Args:
        inputs: as the network takes them.
        samples: how many of them count; a fixed batch is filled up with samples that were there before.
    """

    inputs: tuple[Any, ...]
    samples: int


def regrouped(data: Iterable[Batch], *, most: int, example: int, fixed: bool) -> Iterator[Group]:
    """The samples of some data, in batches of two sizes and a rest, or of the one size that a network takes.

    Args:
        data: batches of any size; one whose tensors do not all have an entry for each sample stays as it is.
        most: samples at once.
        example: how many samples the network's example has.
        fixed: whether the network takes that number alone.
    """
    sizes = _sizes(most, example, fixed=fixed)
    waiting: list[Tensor] = []
    spec: Any = None
    size, others = next(sizes), 0
    for inputs, _ in data:
        leaves, spec = pytree.tree_flatten(inputs)
        if len({leaf.shape[:1] for leaf in leaves}) > 1:
            yield Group(inputs, count(inputs))
            continue
        waiting = [torch.cat(pair) for pair in zip(waiting, leaves, strict=True)] if waiting else leaves
        while waiting and len(waiting[0]) >= size:
            yield _cut(waiting, size, spec)
            waiting = [leaf[size:] for leaf in waiting] if len(waiting[0]) > size else []
            size, others = next(sizes), others + 1
    if not waiting:
        return
    left = len(waiting[0])
    if fixed:
        filled = [leaf[torch.arange(example) % left] for leaf in waiting]
        yield Group(pytree.tree_unflatten(filled, spec), left)
    elif left == example > 1 and not others:
        yield _cut(waiting, left - 1, spec)
        yield _cut([leaf[left - 1 :] for leaf in waiting], 1, spec)
    else:
        yield _cut(waiting, left, spec)


def _sizes(most: int, example: int, *, fixed: bool) -> Iterator[int]:
    """First one that is not the example's and leaves a rest, then the most."""
    if not fixed:
        yield next((size for size in (most - 1, most - 2) if size > 0 and size != example), most + (most == example))
    while True:
        yield example if fixed else most


def _cut(leaves: list[Tensor], size: int, spec: Any) -> Group:
    inputs: tuple[Any, ...] = pytree.tree_unflatten([leaf[:size] for leaf in leaves], spec)
    return Group(inputs, size)
