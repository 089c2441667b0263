"""Data in whatever form people have it, as batches of inputs and targets that can be gone through again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset

from microjoule.errors import DataError, SettingError
from microjoule.execution.binding import Batch, Binder, by_convention
from microjoule.execution.collating import Collate, Once, collated, resized, stacked_at
from microjoule.execution.signature import Signature, part_of, part_of_targets, samples_along
from microjoule.execution.values import as_tensor
from microjoule.graph.network import Network

BATCH = 32
"""Samples a batch by default, where they are not large."""

VALUES = 32 * 3 * 224 * 224
"""Values of inputs that go through a network at once, so that memory is bounded: 32 colour images of 224 x 224."""

TOKEN = 1024
"""Values that an integer of the inputs stands for: it is looked up in an embedding of about that width."""

KINDS = "a tensor of inputs, (inputs, targets), a data set, a DataLoader or a list of batches"


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches that can be gone through several times.

    Args:
        start: gives an iterator from the first item on: a batch in some form that people have.
        name: where the data came from, for records.
        samples: how many samples there are, or None if that is not known beforehand.
        labelled: whether there may be targets.
        signature: what the network takes; None if that is not known: then items are (input, target) where labelled.
        targets: the key of the targets, where items are dicts; None for the usual names.
        most: samples that a batch holds at most; larger ones are cut. None takes batches as they are.
        bind: makes the same batches for a network; None where there is nothing to be done for one.
        settled: whether `start` gives batches that are told apart and checked already.
        drawn: whether it is noise, which stands in for data and tells nothing of it.
    """

    start: Callable[[], Iterator[Any]]
    name: str
    samples: int | None
    labelled: bool
    signature: Signature | None = None
    targets: str | None = None
    most: int | None = None
    bind: "Callable[[Any], Batches] | None" = None
    settled: bool = False
    drawn: bool = False

    def __iter__(self) -> Iterator[Batch]:
        """Each batch, checked.

        Raises:
            DataError: if there is no batch, an item does not fit the network, or inputs are not finite.
        """
        found: Iterable[Batch] = self.start() if self.settled else map(self._batch, self.start())
        if self.signature is not None and self.signature.fixed:
            found = resized(found, self.signature, self.signature.samples, exactly=True)
        elif self.signature is not None and self.most is not None:
            found = resized(found, self.signature, self.most, exactly=False)
        empty = True
        for batch in found:
            empty = False
            yield batch
        if empty:
            raise DataError(self.name, "holds no sample", remedy="give at least one")

    @property
    def axis(self) -> int:
        """Along which dimension samples lie in inputs."""
        return 0 if self.signature is None else self.signature.axis

    def count(self, inputs: Any) -> int:
        """How many samples a batch's inputs hold."""
        return samples_along(inputs, self.axis)

    def _batch(self, item: Any) -> Batch:
        if self.signature is None:
            return by_convention(item.batch if isinstance(item, _Stacked) else item, self.name, labelled=self.labelled)
        binder = Binder(self.signature, self.name, self.targets)
        if isinstance(item, _Stacked):
            inputs, targets = binder.told_apart(item.batch, 0)
            item = Batch(stacked_at(inputs, self.axis), targets)
        return binder.batch(item)


@dataclass(frozen=True, slots=True)
class _Stacked:
    """A batch whose samples were stacked along the first dimension, wherever the network has them."""

    batch: Any


@dataclass(frozen=True, slots=True)
class _How:
    """How data is read; see `batches`."""

    name: str
    size: int
    binder: Binder | None
    shuffle: torch.Generator | None
    transform: Callable[[Any], Any] | None

    def transformed(self, items: Iterable[Any]) -> Iterator[Any]:
        """Items as the caller prepares them."""
        return iter(items) if self.transform is None else map(self.transform, items)


def batches(
    data: Any,
    model: Network | nn.Module | None = None,
    *,
    batch_size: int | None = None,
    name: str | None = None,
    shuffle: torch.Generator | None = None,
    transform: Callable[[Any], Any] | None = None,
    targets: str | None = None,
) -> Batches:
    """Bring data into the form of batches.

    What an item is follows from what the network takes: a dict has its inputs by name; a tuple is (input, target),
    or (first, second), (first, second, target) and ((first, second), target) where it takes two. Every function that
    takes data calls this, so it is called by hand only for what it can be told beside the data.

    Args:
        data: inputs as a tensor or array (n, ...); a tuple or dict of these, with targets or without; a map-style or
            iterable data set of samples, which may have a `collate`; a DataLoader; a list or another iterable of
            batches or samples; an iterator, which is kept as it is gone through; or a function that makes one anew.
        model: that is to run on it; None if that is not known yet.
        batch_size: samples a batch, where the data does not come in batches; None for 32, or fewer where samples are
            large, and larger batches of the data are cut, too.
        name: what to call the data in records; by default its own `name`, or its type.
        shuffle: draws a new order each time that the data is gone through; data that comes in batches, as a DataLoader
            or a list does, keeps its own.
        transform: makes what the network takes of each item: of a sample of a data set, of a batch of anything else.
        targets: the key of the targets, where items are dicts.

    Raises:
        DataError: for data of another kind, or without any sample.
        SettingError: for a batch size below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise SettingError("batch_size", f"is {batch_size}", remedy="give at least 1")
    signature = Signature.of(model)
    if isinstance(data, Batches):
        return data if data.bind is None or data.signature is not None or signature is None else data.bind(model)
    called = name or str(getattr(data, "name", None) or type(data).__name__)
    source = Once(data, called) if isinstance(data, Iterator) and iter(data) is data else data
    most = None if batch_size is not None or signature is None else _most(signature)
    size = batch_size or min(BATCH, most or BATCH)
    if signature is not None and signature.fixed:
        size = signature.samples
    binder = None if signature is None else Binder(signature, called, targets)
    start, samples, labelled = _items(source, _How(called, size, binder, shuffle, transform))
    again = partial(
        batches,
        source,
        batch_size=batch_size,
        name=called,
        shuffle=shuffle,
        transform=transform,
        targets=targets,
    )
    return Batches(start, called, samples, labelled, signature, targets, most, again)


def _most(signature: Signature) -> int:
    """How many samples go through a network at once."""
    leaves = [
        leaf for leaf in pytree.tree_leaves([one.example for one in signature.inputs]) if isinstance(leaf, Tensor)
    ]
    values = sum(leaf.numel() * (1 if leaf.is_floating_point() else TOKEN) for leaf in leaves)
    return max(1, VALUES * max(1, signature.samples) // values) if values else BATCH


# The forms ------------------------------------------------------------------------------------------------------------

Items = tuple[Callable[[], Iterator[Any]], int | None, bool]
"""What starts anew, how many samples there are, and whether there may be targets."""


def _items(data: Any, how: _How) -> Items:
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


def _of_whole(data: Any, how: _How) -> Items:
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


def _whole_samples(whole: Batch, axis: int, how: _How) -> int:
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


def _of_list(data: list[Any], how: _How) -> Items:
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


def _of_samples(data: Any, how: _How) -> Items:
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


def _stream(data: Any, how: _How) -> Iterator[Any]:
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


def _batched(samples: list[Any], how: _How, collate: Collate | None) -> Iterator[Any]:
    """Samples as batches; items that are batches already stay as they are."""
    binder = how.binder
    axis = 0 if binder is None else binder.signature.axis
    whole = binder is not None and collate is None and not binder.fits(samples[0], None)
    if binder is not None and whole and binder.fits(samples[0], axis):
        yield from samples
        return
    for batch in collated(samples, how.name, collate):
        yield _Stacked(batch)


def _check_some(count: int, name: str) -> None:
    if count == 0:
        raise DataError(name, "holds no sample", remedy="give at least one")


# Parts ----------------------------------------------------------------------------------------------------------------


def first(data: Batches, samples: int | None) -> Batches:
    """The first samples of some data; all of it for None.

    Raises:
        SettingError: for less than one sample.
    """
    if samples is None:
        return data
    if samples < 1:
        raise SettingError("samples", f"is {samples}", remedy="give at least 1")

    def start() -> Iterator[Batch]:
        left = samples
        for batch in data:
            count = data.count(batch.inputs)
            yield batch if count <= left else _cut(batch, slice(left), data.axis)
            left -= count
            if left <= 0:
                return

    known = samples if data.samples is None else min(samples, data.samples)
    return _settled(data, start, known)


def rest(data: Batches, samples: int) -> Batches:
    """All samples but the first ones; what `first` leaves.

    Raises:
        DataError: while going through them, if there are none.
    """

    def start() -> Iterator[Batch]:
        left = samples
        for batch in data:
            count = data.count(batch.inputs)
            if count > left:
                yield _cut(batch, slice(left, None), data.axis) if left else batch
            left = max(left - count, 0)

    known = None if data.samples is None else max(data.samples - samples, 0)
    return _settled(data, start, known)


def in_parts(data: Batches, values: int) -> Batches:
    """The same inputs, without targets, fewer at a time where they are large.

    Args:
        data: batches; one whose tensors do not all have one entry a sample stays whole.
        values: of all tensors of a batch's inputs at most, or those of one sample if these are more.
    """

    def start() -> Iterator[Batch]:
        for inputs, _ in data:
            leaves = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
            total, size = sum(leaf.numel() for leaf in leaves), data.count(inputs)
            sizes = {leaf.shape[data.axis] if leaf.dim() > data.axis else 0 for leaf in leaves}
            if len(sizes) != 1 or total <= values or (data.signature is not None and data.signature.fixed):
                yield Batch(inputs, None)
                continue
            some = max(1, values * size // total)
            for at in range(0, size, some):
                yield Batch(part_of(inputs, slice(at, at + some), data.axis), None)

    return replace(_settled(data, start, data.samples), labelled=False)


def sample_count(data: Batches) -> int:
    """How many samples there are; gone through where that is not known.

    Raises:
        DataError: while going through them, if there are none.
    """
    return data.samples if data.samples is not None else sum(data.count(inputs) for inputs, _ in data)


def _cut(batch: Batch, some: slice, axis: int) -> Batch:
    samples = samples_along(batch.inputs, axis)
    return Batch(part_of(batch.inputs, some, axis), part_of_targets(batch.targets, some, samples, axis))


def _settled(data: Batches, start: Callable[[], Iterator[Batch]], samples: int | None) -> Batches:
    """Batches made of others, which are told apart and cut already."""
    return replace(data, start=start, samples=samples, most=None, bind=None, settled=True)
