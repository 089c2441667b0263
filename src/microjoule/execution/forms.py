"""The forms in which people have data, as a stream of items: batches, or samples that are put together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset

from microjoule.errors import DataError
from microjoule.execution.binding import Batch, Binder
from microjoule.execution.collating import Collate, Once, collated
from microjoule.execution.signature import part_of, part_of_targets, samples_along
from microjoule.execution.values import as_tensor

KINDS = "a tensor of inputs, (inputs, targets), a data set, a DataLoader or a list of batches"


@dataclass(frozen=True, slots=True)
class Stacked:
    """A batch whose samples were stacked along the first dimension, wherever the network has them."""

    batch: Any


@dataclass(frozen=True, slots=True)
class How:
    """How data is read; see `batches`.

    Args:
        name: what it is called in messages.
        size: samples a batch, where it does not come in batches.
        binder: tells inputs from targets; None where the network is not known yet.
        shuffle: draws a new order each time; or None.
        transform: makes what the network takes of each item; or None.
    """

    name: str
    size: int
    binder: Binder | None
    shuffle: torch.Generator | None
    transform: Callable[[Any], Any] | None

    def transformed(self, items: Iterable[Any]) -> Iterator[Any]:
        """Items as the caller prepares them."""
        return iter(items) if self.transform is None else map(self.transform, items)


Items = tuple[Callable[[], Iterator[Any]], int | None, bool]
"""What starts anew, how many samples there are, and whether there may be targets."""


def items_of(data: Any, how: How) -> Items:
    """Data of any form as items.

    Args:
        data: as `batches` takes it.
        how: it is read.

    Raises:
        DataError: for data of another kind, or without any sample.
    """
    if isinstance(data, str | bytes):
        raise _unreadable(how.name)
    if _is_whole(data) and (how.binder is not None or not isinstance(data, Mapping)):
        return _of_whole(data, how)
    if isinstance(data, list):
        _check_some(len(data), how.name)
        return _of_list(data, how)
    if isinstance(data, DataLoader | IterableDataset | Once):
        return partial(_stream, data, how), None, True
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if isinstance(data, Mapping | tuple) or hasattr(data, "iloc") or (isinstance(data, Dataset) and not indexed):
        raise _unreadable(how.name)
    if indexed:
        return _of_samples(data, how)
    if isinstance(data, Iterable):
        return partial(_stream, data, how), None, True
    if callable(data) and not isinstance(data, type | nn.Module):
        return partial(_stream, data, how), None, True
    raise _unreadable(how.name)


def _unreadable(name: str) -> DataError:
    return DataError(name, "is no data that microjoule can read", remedy=f"give {KINDS}")


def _is_whole(data: Any) -> bool:
    """Whether data is arrays that hold all samples."""
    if isinstance(data, list):
        return False
    if isinstance(data, Mapping):
        return bool(data) and all(isinstance(part, Tensor | np.ndarray) for part in data.values())
    if isinstance(data, tuple):
        return bool(data) and all(isinstance(part, Tensor | np.ndarray) or _is_whole(part) for part in data)
    return isinstance(data, Tensor | np.ndarray)


def _of_whole(data: Any, how: How) -> Items:
    """Arrays of all samples, cut into batches."""
    arrays = pytree.tree_map_only((Tensor, np.ndarray), lambda part: as_tensor(part, how.name), data)
    if how.transform is not None:
        whole = Batch((arrays,), None)  # what it makes of a batch is told apart afterwards
    elif how.binder is not None:
        whole = how.binder.told_apart(arrays)
    elif isinstance(arrays, Tensor):
        whole = Batch((arrays,), None)
    elif len(arrays) == 2 and all(isinstance(part, Tensor) for part in arrays):
        whole = Batch((arrays[0],), arrays[1])
    else:
        raise _unreadable(how.name)
    axis = 0 if how.binder is None else how.binder.signature.axis
    samples = _whole_samples(whole, axis, how)

    def start() -> Iterator[Any]:
        order = None if how.shuffle is None else torch.randperm(samples, generator=how.shuffle)
        for at in range(0, samples, how.size):
            some = slice(at, at + how.size) if order is None else order[at : at + how.size]
            batch = Batch(part_of(whole.inputs, some, axis), part_of_targets(whole.targets, some, samples, axis))
            yield batch if how.transform is None else how.transform(batch.inputs[0])

    return start, samples, whole.targets is not None or how.transform is not None


def _whole_samples(whole: Batch, axis: int, how: How) -> int:
    tensors = [leaf for leaf in pytree.tree_leaves(whole.inputs) if isinstance(leaf, Tensor)]
    if any(tensor.dim() <= axis for tensor in tensors[:1]):
        raise DataError(how.name, "is a single number", remedy="give inputs of shape (n, ...)")
    samples = samples_along(whole.inputs, axis)
    others = {len(leaf) for leaf in pytree.tree_leaves(whole.targets) if isinstance(leaf, Tensor) and leaf.dim()}
    if whole.targets is not None and others != {samples}:
        fact = f"has {samples} inputs and {', '.join(map(str, sorted(others))) or 'no'} targets"
        raise DataError(how.name, fact, remedy="give one target for each input")
    _check_some(samples, how.name)
    return samples


def _of_list(data: list[Any], how: How) -> Items:
    """A list of batches, or of samples where the network says so."""
    binder, labelled = how.binder, False
    if binder is None:
        return partial(_stream, data, how), None, how.transform is not None
    first = next(how.transformed(data))
    if binder.is_sample(first):
        labelled = any(one.targets is not None for one in binder.readings(first, None) if one.fit)
        return partial(_stream, data, how), len(data), labelled
    labelled = any(one.targets is not None for one in binder.readings(first, binder.signature.axis))
    return partial(_stream, data, how), None, labelled


def _of_samples(data: Any, how: How) -> Items:
    """A map-style data set."""
    samples = len(data)
    _check_some(samples, how.name)
    collate: Collate | None = getattr(data, "collate", None)
    shuffled = how.shuffle is not None
    chance = how.shuffle or torch.Generator()  # not the caller's, from which an iterator would draw
    loader: Any = DataLoader(data, how.size, shuffle=shuffled, generator=chance, collate_fn=list)

    def start() -> Iterator[Any]:
        for some in loader:
            yield from _batched(list(how.transformed(some)), how, collate)

    return start, samples, True


def _stream(data: Any, how: How) -> Iterator[Any]:
    """Items one after another; those that are samples are put together."""
    items = how.transformed(data() if callable(data) and not isinstance(data, Iterable) else data)
    first = next(items, None)
    if first is None:
        return
    everything = chain([first], items)
    if how.binder is None or not how.binder.is_sample(first):
        yield from everything
        return
    while some := list(islice(everything, how.size)):
        yield from _batched(some, how, None)


def _batched(samples: list[Any], how: How, collate: Collate | None) -> Iterator[Any]:
    """Samples as batches; items that are batches already stay as they are."""
    binder = how.binder
    axis = 0 if binder is None else binder.signature.axis
    whole = binder is not None and collate is None and not binder.fits(samples[0], None)
    if binder is not None and whole and binder.fits(samples[0], axis):
        yield from samples
        return
    for batch in collated(samples, how.name, collate):
        yield Stacked(batch)


def _check_some(count: int, name: str) -> None:
    if count == 0:
        raise DataError(name, "holds no sample", remedy="give at least one")
