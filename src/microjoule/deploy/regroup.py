"""Samples put into batches of other sizes, so that what is compared is not only the example's batch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.execution.binding import Batch
from microjoule.execution.signature import joined, part_of, samples_along


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that are run at once.

    Args:
        inputs: as the network takes them.
        samples: how many of them count; a fixed batch is filled up with samples that were there before.
    """

    inputs: tuple[Any, ...]
    samples: int


def regrouped(data: Iterable[Batch], *, most: int, example: int, fixed: bool, axis: int = 0) -> Iterator[Group]:
    """The samples of some data, in batches of two sizes and a rest, or of the one size that a network takes.

    Args:
        data: batches of any size; one whose tensors do not all have an entry for each sample stays as it is.
        most: samples at once.
        example: how many samples the network's example has.
        fixed: whether the network takes that number alone.
        axis: along which samples lie.
    """
    sizes = _sizes(most, example, fixed=fixed)
    waiting: Any = None
    size, others = next(sizes), 0
    for inputs, _ in data:
        if not _all_have_samples(inputs, axis):
            yield Group(inputs, samples_along(inputs, axis))
            continue
        if waiting is not None and _forms(waiting, axis) != _forms(inputs, axis):
            yield _rest(waiting, axis, size=example if fixed else None)
            waiting, others = None, others + 1
        waiting = inputs if waiting is None else joined([waiting, inputs], axis)
        while waiting is not None and (left := samples_along(waiting, axis)) >= size:
            yield Group(part_of(waiting, slice(size), axis), size)
            waiting = part_of(waiting, slice(size, None), axis) if left > size else None
            size, others = next(sizes), others + 1
    if waiting is None:
        return
    left = samples_along(waiting, axis)
    if left == example > 1 and not others and not fixed:
        yield Group(part_of(waiting, slice(left - 1), axis), left - 1)
        yield Group(part_of(waiting, slice(left - 1, None), axis), 1)
    else:
        yield _rest(waiting, axis, size=example if fixed else None)


def _rest(waiting: Any, axis: int, *, size: int | None) -> Group:
    """Samples that fill no batch; where one must be of a size, some of them come again."""
    left = samples_along(waiting, axis)
    return Group(waiting if size is None else part_of(waiting, torch.arange(size) % left, axis), left)


def _forms(inputs: Any, axis: int) -> list[tuple[int, ...]]:
    """The shapes of a sample: sequences of other lengths cannot be put into one batch."""
    leaves = pytree.tree_leaves(inputs)
    return [(*leaf.shape[:axis], *leaf.shape[axis + 1 :]) for leaf in leaves if isinstance(leaf, Tensor)]


def _all_have_samples(inputs: Any, axis: int) -> bool:
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    return len({tensor.shape[axis] if tensor.dim() > axis else None for tensor in tensors}) == 1


def _sizes(most: int, example: int, *, fixed: bool) -> Iterator[int]:
    """First one that is not the example's and leaves a rest, then the most."""
    if not fixed:
        yield next((size for size in (most - 1, most - 2) if size > 0 and size != example), most + (most == example))
    while True:
        yield example if fixed else most
