"""Data in whatever form people have it, as batches of inputs and targets that can be gone through again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, TensorDataset

from microjoule.errors import DataError, SettingError

Batch = tuple[tuple[Any, ...], Any]
"""Positional inputs of a network for several samples, and their targets (None where there are none)."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches that can be gone through several times.

    Args:
        start: gives an iterator from the first batch on.
        name: where the data came from, for records.
        samples: how many samples there are, or None if that is not known beforehand.
        labelled: whether what `start` gives are pairs of inputs and targets.
    """

    start: Callable[[], Iterator[Any]]
    name: str
    samples: int | None
    labelled: bool

    def __iter__(self) -> Iterator[Batch]:
        """Each batch, checked.

        Raises:
            DataError: if there is no batch, an item is no pair, or inputs are not finite.
        """
        empty = True
        for item in self.start():
            empty = False
            inputs, targets = self.pair(item)
            yield self._inputs(inputs), targets
        if empty:
            raise DataError(self.name, "holds no sample", remedy="give at least one")

    def pair(self, item: Any) -> tuple[Any, Any]:
        """An item as (inputs, targets); targets are None where there are none."""
        if not self.labelled:
            return item, None
        if isinstance(item, tuple | list) and len(item) == 2:
            return item[0], item[1]
        raise DataError(
            self.name,
            f"gives a {type(item).__name__}, not a pair of inputs and targets",
            remedy="give (input, target) pairs, or a tensor or a list of batches if there are no targets",
        )

    def _inputs(self, inputs: Any) -> tuple[Any, ...]:
        given: tuple[Any, ...] = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        for tensor in pytree.tree_leaves(given):
            if not isinstance(tensor, Tensor):
                raise DataError(self.name, f"gives a {type(tensor).__name__} as input", remedy="give tensors")
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise DataError(self.name, "holds NaN or infinite inputs", remedy="check how the data is loaded")
        return given


def batches(
    data: Any, *, batch_size: int = 32, name: str | None = None, shuffle: torch.Generator | None = None
) -> Batches:
    """Bring data into the form of batches.

    Args:
        data: inputs as a tensor or array (n, ...); a pair (inputs, targets) of these; a map-style dataset of (input,
            target) pairs, which may have a `collate`; a DataLoader of such pairs; or a list of batches of inputs.
        batch_size: samples a batch, where the data does not come in batches.
        name: what to call the data in records; by default its own `name`, or its type.
        shuffle: draws a new order each time that the data is gone through; data that comes in batches, as a DataLoader
            or a list does, keeps its own.

    Raises:
        DataError: for data of another kind, or without any sample.
        SettingError: for a batch size below 1.
    """
    if batch_size < 1:
        raise SettingError("batch_size", f"is {batch_size}", remedy="give at least 1")
    if isinstance(data, Batches):
        return data
    called = name or str(getattr(data, "name", None) or type(data).__name__)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor | np.ndarray) for part in data):
        return _of_pairs(*data, batch_size=batch_size, name=called, shuffle=shuffle)
    if isinstance(data, Tensor | np.ndarray):
        return _of_inputs(data, batch_size=batch_size, name=called, shuffle=shuffle)
    if isinstance(data, DataLoader):
        return Batches(lambda: iter(data), called, None, labelled=True)
    if isinstance(data, list) and data:
        return Batches(lambda: iter(data), called, None, labelled=False)
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        _check_some(len(data), called)
        collate = getattr(data, "collate", None)
        chance = shuffle or torch.Generator()  # not the caller's, from which an iterator would draw
        loader = DataLoader(data, batch_size, shuffle=shuffle is not None, generator=chance, collate_fn=collate)
        return Batches(lambda: iter(loader), called, len(data), labelled=True)
    raise DataError(
        called,
        "is no data that microjoule can read",
        remedy="give a tensor of inputs, (inputs, targets), a map-style dataset, a DataLoader or a list of batches",
    )


def _of_inputs(values: Any, *, batch_size: int, name: str, shuffle: torch.Generator | None) -> Batches:
    inputs = _tensor(values, name)
    _check_some(len(inputs), name)
    if shuffle is None:
        return Batches(lambda: iter(inputs.split(batch_size)), name, len(inputs), labelled=False)
    return Batches(
        lambda: (inputs[at] for at in _drawn(len(inputs), batch_size, shuffle)), name, len(inputs), labelled=False
    )


def _of_pairs(inputs: Any, targets: Any, *, batch_size: int, name: str, shuffle: torch.Generator | None) -> Batches:
    x, y = _tensor(inputs, name), _tensor(targets, name)
    if len(x) != len(y):
        raise DataError(name, f"has {len(x)} inputs and {len(y)} targets", remedy="give one target for each input")
    _check_some(len(x), name)
    if shuffle is None:
        loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, generator=torch.Generator())
        return Batches(lambda: iter(loader), name, len(x), labelled=True)
    return Batches(lambda: ((x[at], y[at]) for at in _drawn(len(x), batch_size, shuffle)), name, len(x), labelled=True)


def _drawn(samples: int, batch_size: int, shuffle: torch.Generator) -> list[Tensor]:
    """The samples of each batch, in a new order."""
    return list(torch.randperm(samples, generator=shuffle).split(batch_size))


def _tensor(values: Tensor | np.ndarray[Any, Any], name: str) -> Tensor:
    if isinstance(values, np.ndarray) and values.dtype.kind not in "fiub":
        raise DataError(name, f"holds values of type {values.dtype}", remedy="give numbers")
    if isinstance(values, np.ndarray):  # torch takes no reversed, read-only or foreign-endian array
        values = torch.from_numpy(np.require(values, values.dtype.newbyteorder("="), ["C", "W"]))
    tensor = values
    if tensor.dim() == 0:
        raise DataError(name, "is a single number", remedy="give inputs of shape (n, ...)")
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _check_some(count: int, name: str) -> None:
    if count == 0:
        raise DataError(name, "holds no sample", remedy="give at least one")


def first(data: Batches, samples: int) -> Batches:
    """The first samples of some data.

    Raises:
        SettingError: for less than one sample.
    """
    if samples < 1:
        raise SettingError("samples", f"is {samples}", remedy="give at least 1")

    def start() -> Iterator[Any]:
        left = samples
        for item in data.start():
            inputs, targets = data.pair(item)
            size = next((t.shape[0] for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)), left)
            cut = pytree.tree_map_only(Tensor, lambda t: t[:left], (inputs, targets))  # noqa: B023
            yield cut if data.labelled else cut[0]
            left -= size
            if left <= 0:
                return

    known = samples if data.samples is None else min(samples, data.samples)
    return Batches(start, data.name, known, labelled=data.labelled)


def sample_count(data: Batches) -> int:
    """How many samples there are; gone through where that is not known.

    Raises:
        DataError: while going through them, if there are none.
    """
    if data.samples is not None:
        return data.samples
    leaves = (pytree.tree_leaves(inputs) for inputs, _ in data)
    return sum(next(len(leaf) for leaf in one if isinstance(leaf, Tensor)) for one in leaves)


def rest(data: Batches, samples: int) -> Batches:
    """All samples but the first ones; what `first` leaves.

    Raises:
        DataError: while going through them, if there are none.
    """

    def start() -> Iterator[Any]:
        left = samples
        for item in data.start():
            inputs, targets = data.pair(item)
            size = next((t.shape[0] for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)), 0)
            if size > left:
                cut = pytree.tree_map_only(Tensor, lambda t: t[left:], (inputs, targets))  # noqa: B023
                yield cut if data.labelled else cut[0]
            left = max(left - size, 0)

    known = None if data.samples is None else max(data.samples - samples, 0)
    return Batches(start, data.name, known, labelled=data.labelled)


def in_parts(data: Batches, values: int) -> Batches:
    """The same inputs, without targets, fewer at a time where they are large.

    Args:
        data: batches; one whose tensors do not all have one entry a sample stays whole.
        values: of all tensors of a batch's inputs at most, or those of one sample if these are more.
    """

    def start() -> Iterator[Any]:
        for item in data.start():
            inputs, _ = data.pair(item)
            leaves = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
            total, sizes = sum(leaf.numel() for leaf in leaves), {len(leaf) if leaf.dim() else 0 for leaf in leaves}
            if len(sizes) != 1 or total <= values:
                yield inputs
                continue
            size = sizes.pop()
            some = max(1, values * size // total)
            for at in range(0, size, some):
                yield pytree.tree_map_only(Tensor, lambda t: t[at : at + some], inputs)  # noqa: B023

    return Batches(start, data.name, data.samples, labelled=False)
