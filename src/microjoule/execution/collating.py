"""Samples to batches, batches of one size to batches of another, and iterators that can be gone through once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import default_collate

from microjoule.errors import DataError
from microjoule.execution.binding import Batch
from microjoule.execution.signature import Signature, joined, part_of_targets
from microjoule.execution.store import Store
from microjoule.execution.values import FORMS, as_tensor, is_numeric

ONCE_BYTES = 2**32
"""How much of an iterator that can be gone through once is kept, on disk for the most part: 4 GiB."""

Collate = Callable[[list[Any]], Any]
"""Samples -> a batch."""


def collated(samples: list[Any], place: str, collate: Collate | None = None) -> Iterator[Any]:
    """Samples as batches: one, or several where samples have other shapes than those before them.

    Args:
        samples: at least one.
        place: the name of the data, for messages.
        collate: makes a batch of samples; None stacks them.

    Raises:
        DataError: if they cannot be stacked.
    """
    if collate is not None:
        yield collate(samples)
        return
    plain = [_tensors(sample, place) for sample in samples]
    begin = 0
    for end in range(1, len(plain) + 1):
        if end == len(plain) or _shapes(plain[end]) != _shapes(plain[begin]):
            yield _stacked(plain[begin:end], place)
            begin = end


def _stacked(samples: list[Any], place: str) -> Any:
    try:
        return default_collate(samples)
    except (TypeError, RuntimeError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(place, f"holds samples that cannot be one batch: {reason}", remedy=FORMS) from error


def _tensors(sample: Any, place: str, *, inner: bool = False) -> Any:
    """A sample whose arrays, and lists of numbers inside it, are tensors."""
    if isinstance(sample, Mapping):
        return {key: _tensors(value, place, inner=True) for key, value in sample.items()}
    if isinstance(sample, np.ndarray) or (inner and isinstance(sample, list) and is_numeric(sample)):
        return as_tensor(sample, place)
    if isinstance(sample, tuple | list):
        parts = [_tensors(value, place, inner=True) for value in sample]
        return type(sample)(*parts) if hasattr(sample, "_fields") else type(sample)(parts)
    return sample


def _shapes(sample: Any) -> list[Any]:
    return [tuple(leaf.shape) if isinstance(leaf, Tensor) else None for leaf in pytree.tree_leaves(sample)]


def stacked_at(inputs: Any, axis: int) -> Any:
    """Inputs whose samples were stacked first, with the samples along another dimension.

    Args:
        inputs: tensors, nested in tuples, lists and dicts.
        axis: along which samples are to lie.
    """
    return pytree.tree_map_only(Tensor, lambda t: t.movedim(0, axis) if t.dim() > axis else t, inputs)


# Sizes ----------------------------------------------------------------------------------------------------------------


def resized(source: Iterable[Batch], signature: Signature, size: int, *, exactly: bool) -> Iterator[Batch]:
    """Batches of at most so many samples; or of exactly so many but for the last, whatever size they come in.

    Args:
        source: of batches.
        signature: what the network takes.
        size: samples a batch.
        exactly: join batches that are smaller, too.
    """
    axis, waiting = signature.axis, list[Batch]()
    for batch in source:
        samples, at = signature.count(batch.inputs), 0
        while at < samples:
            room = size - sum(signature.count(one.inputs) for one in waiting)
            some = slice(at, at + room)
            cut = samples > room or at > 0
            targets = part_of_targets(batch.targets, some, samples, axis) if cut else batch.targets
            waiting.append(Batch(signature.part(batch.inputs, some) if cut else batch.inputs, targets))
            at += room
            if not exactly or at <= samples:
                yield _joined(waiting, axis)
                waiting = []
    if waiting:
        yield _joined(waiting, axis)


def _joined(parts: list[Batch], axis: int) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return Batch(joined([one.inputs for one in parts], axis), _joined_targets([one.targets for one in parts]))


def _joined_targets(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, Mapping):
        return {key: _joined_targets([part[key] for part in parts]) for key in first}
    if isinstance(first, list):
        return [item for part in parts for item in part]
    if isinstance(first, tuple):
        return tuple(_joined_targets(list(some)) for some in zip(*parts, strict=True))
    return first


# Iterators ------------------------------------------------------------------------------------------------------------


class Once:
    """An iterator that can be gone through once, kept as far as it was gone through, so that it can be again.

    Args:
        source: gives items.
        place: the name of the data, for messages.
        limit_bytes: of what is kept.
    """

    def __init__(self, source: Iterator[Any], place: str, limit_bytes: int = ONCE_BYTES) -> None:
        self._source = source
        self._place = place
        self._store = Store()
        self._forms: list[pytree.TreeSpec] = []
        self._arrays = set[tuple[int, int]]()
        self._left = limit_bytes

    def __iter__(self) -> Iterator[Any]:
        """All items, from the first on.

        Raises:
            DataError: if there are more than can be kept.
        """
        number = 0
        while number < len(self._forms) or self._go_on():
            form = self._forms[number]
            yield pytree.tree_unflatten([self._leaf(number, at) for at in range(form.num_leaves)], form)
            number += 1

    def _leaf(self, number: int, at: int) -> Any:
        value = self._store.get((number, at))
        return value.numpy() if (number, at) in self._arrays else value

    def _go_on(self) -> bool:
        """Keep one item more; False where there is none."""
        try:
            item = next(self._source)
        except StopIteration:
            return False
        leaves, form = pytree.tree_flatten(item)
        self._left -= sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor | np.ndarray))
        if self._left < 0:
            fact = "is an iterator that can be gone through once, and gives more than can be kept"
            raise DataError(self._place, fact, remedy="give a data set, or a function that makes the iterator anew")
        for at, leaf in enumerate(leaves):
            place = len(self._forms), at
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fiub":
                self._arrays.add(place)
                leaf = as_tensor(leaf, self._place)  # noqa: PLW2901 - so that it can lie on disk
            self._store.put(place, leaf)
        self._forms.append(form)
        return True
