"""Data in whatever form people have it, as batches of inputs and targets that can be gone through again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, SettingError
from microjoule.execution.binding import Batch, Binder, by_convention
from microjoule.execution.collating import Once, resized, stacked_at
from microjoule.execution.forms import How, Stacked, items_of
from microjoule.execution.signature import Signature, part_of, part_of_targets, samples_along
from microjoule.graph.network import Network

BATCH = 32
"""Samples a batch by default, where they are not large."""

VALUES = 32 * 3 * 224 * 224
"""Values of inputs that go through a network at once, so that memory is bounded: 32 colour images of 224 x 224."""

TOKEN = 1024
"""Values that an integer of the inputs stands for: it is looked up in an embedding of about that width."""


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
            return by_convention(item.batch if isinstance(item, Stacked) else item, self.name, labelled=self.labelled)
        binder = Binder(self.signature, self.name, self.targets)
        if isinstance(item, Stacked):
            inputs, targets = binder.told_apart(item.batch, 0)
            item = Batch(stacked_at(inputs, self.axis), targets)
        return binder.batch(item)


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
    start, samples, labelled = items_of(source, How(called, size, binder, shuffle, transform))
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
