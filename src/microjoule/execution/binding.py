"""Which part of an item of anyone's data is which input of a network, and which are the targets.

An item is a batch of a loader or a sample of a data set: a tensor, a dict by key, or a tuple such as (input, target),
(first, second), (first, second, target) or ((first, second), target). What it is follows from what the network takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import DataError
from microjoule.execution.signature import Input, Signature
from microjoule.execution.values import FORMS, as_targets, as_tensor, cast, check_finite, is_numeric, kind_of, shape_of

TARGETS = ("labels", "label", "targets", "target", "y")
"""What targets are called in dicts; any other name does, where it is the only one that is left over."""

PAIRS = "give ((first, second), target), or dicts with the inputs by name"
KEYS = "rename the keys, or say what makes inputs of an item, transform=lambda item: (item['x'], item['label'])"


class Batch(NamedTuple):
    """Positional inputs of a network for several samples, and their targets (None where there are none)."""

    inputs: tuple[Any, ...]
    targets: Any


class Reading(NamedTuple):
    """One way to read an item.

    Args:
        fit: 2 if all shapes and types are those of the example, 1 if all numbers of dimensions are, else 0.
        constants: how many of the network's constants the item holds, with their values.
        inputs: in the order of the signature.
        targets: None where there are none.
        named: whether inputs were found by their names, which leaves no doubt.
    """

    fit: int
    constants: int
    inputs: Sequence[Any]
    targets: Any
    named: bool = False


@dataclass(frozen=True, slots=True)
class Binder:
    """Tells inputs from targets, and brings both into the types that the network takes.

    Args:
        signature: what the network takes.
        place: the name of the data, for messages.
        targets: the key of the targets in dicts; None for the usual names.
    """

    signature: Signature
    place: str
    targets: str | None = None

    def batch(self, item: Any) -> Batch:
        """An item as a batch.

        Raises:
            DataError: if it does not fit the network, or is not finite.
        """
        inputs, targets = self.told_apart(item)
        return checked(
            Batch(self._converted(inputs), as_targets(targets, self.signature.labels, self.place)), self.place
        )

    def fits(self, item: Any, axis: int | None) -> bool:
        """Whether an item can be what the network takes, as far as types and dimensions tell.

        Args:
            item: anything.
            axis: along which its samples lie; None if it is a single one.
        """
        return any(one.fit > 0 for one in self.readings(item, axis))

    def is_sample(self, item: Any) -> bool:
        """Whether an item is a single sample, and no batch of them."""
        known = all(entry.known for entry in self.signature.inputs)
        return known and not self.fits(item, self.signature.axis) and self.fits(item, None)

    def told_apart(self, item: Any, axis: int | None = None) -> Batch:
        """Inputs in the order of the signature, and targets, as the item has them.

        Args:
            item: a batch.
            axis: along which its samples lie; None for that of the network.

        Raises:
            DataError: if it does not fit the network.
        """
        if isinstance(item, Batch):
            return item
        found = self.readings(item, self.signature.axis if axis is None else axis)
        best = [one for one in found if one[:2] == max(other[:2] for other in found)]
        compared = len(self.signature.needed) > 1 and all(entry.known for entry in self.signature.inputs)
        if len(best) != 1 or (compared and not best[0].fit and not best[0].named):
            raise self._unfit(item)
        return Batch(tuple(best[0].inputs), best[0].targets)

    def readings(self, item: Any, axis: int | None) -> list[Reading]:
        """Every way to read an item.

        Args:
            item: a batch, or a sample.
            axis: along which samples lie; None for a single sample.
        """
        found = [self._by_position((item,), None, axis)]
        if isinstance(item, Mapping):
            found.append(self._by_name(item, axis))
        elif isinstance(item, tuple | list) and not is_numeric(item):
            for count in {len(self.signature.needed), len(self.signature.inputs)}:
                if len(item) == count:
                    found.append(self._by_position(item, None, axis))
                if len(item) == count + 1:
                    found.append(self._by_position(item[:count], item[count], axis))
            found.append(self._of_pair(item, axis))
            if len(item) > len(self.signature.inputs) + 1:
                count = len(self.signature.needed)
                found.append(self._by_position(item[:count], tuple(item[count:]), axis))
        return [one for one in found if one is not None]

    def _of_pair(self, item: Sequence[Any], axis: int | None) -> Reading | None:
        """((first, second), target), or (inputs by name, target)."""
        if len(item) != 2 or is_numeric(item[0]):
            return None
        inputs, targets = item
        if isinstance(inputs, Mapping):
            found = self._by_name(inputs, axis)
            return None if found is None else found._replace(targets=targets)
        return self._by_position(inputs, targets, axis) if isinstance(inputs, tuple | list) else None

    def _by_position(self, parts: Sequence[Any], targets: Any, axis: int | None) -> Reading | None:
        """Parts as the inputs in order; None if there are too few or too many, or they are nested in another way."""
        whole = len(parts) == len(self.signature.inputs)
        entries = self.signature.inputs if whole else self.signature.needed
        pairs = list(zip(entries, parts, strict=False))
        if len(parts) != len(entries) or not all(_has_form(entry, part) for entry, part in pairs):
            return None
        return self._reading(pairs, targets, axis)

    def _by_name(self, item: Mapping[Any, Any], axis: int | None) -> Reading | None:
        """Inputs by their names; targets are what is left over, or has the name of targets."""
        if not all(entry.name in item for entry in self.signature.needed):
            return None
        pairs = [(entry, item[entry.name]) for entry in self.signature.inputs if entry.name in item]
        left = {key: value for key, value in item.items() if key not in {entry.name for entry, _ in pairs}}
        return self._reading(pairs, self._left_over(left), axis)._replace(named=True)

    def _reading(self, pairs: Sequence[tuple[Input, Any]], targets: Any, axis: int | None) -> Reading:
        given = {entry.name: part for entry, part in pairs}
        fits = [self._fit(entry, part, axis) for entry, part in pairs]
        inputs = [given.get(entry.name, entry.example) for entry in self.signature.inputs]
        return Reading(min(fits, default=0), sum(entry.constant for entry, _ in pairs), inputs, targets)

    def _left_over(self, left: dict[Any, Any]) -> Any:
        if self.targets is not None:
            if self.targets not in left:
                fact = f"has no key {self.targets!r} beside the inputs, but {_keys(left)}"
                raise DataError(self.place, fact, remedy="name the key of the targets")
            return left[self.targets]
        known = [key for key in TARGETS if key in left]
        if len(left) == 1 or known:
            return left[known[0] if known else next(iter(left))]
        return None

    def _fit(self, entry: Input, value: Any, axis: int | None) -> int:
        """How well a value fits an input, as `Reading.fit` counts."""
        return _fit(entry.example, value, self.signature.axis, axis) if entry.known else 1

    def _unfit(self, item: Any) -> DataError:
        """The error for an item that cannot be told apart into what the network takes."""
        taken = f"the network takes {self.signature.text}"
        if isinstance(item, Mapping):
            return DataError(self.place, f"gives a dict with the keys {_keys(item)}, and {taken}", remedy=KEYS)
        if not is_numeric(item) and not isinstance(item, tuple | list):
            return DataError(self.place, f"gives a {type(item).__name__}, and {taken}", remedy=FORMS)
        parts = [item] if is_numeric(item) else list(item)
        remedy = f"if the last is the target: {PAIRS}" if len(self.signature.needed) > 1 else "give (input, target)"
        return DataError(self.place, f"gives {_described(parts)}, and {taken}", remedy=remedy)

    def _converted(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        if len(inputs) != len(self.signature.inputs):
            return plain(inputs, self.place)  # the network says what it takes
        pairs = zip(self.signature.inputs, inputs, strict=True)
        return tuple(self._like(entry, entry.example, value) for entry, value in pairs)

    def _like(self, entry: Input, example: Any, value: Any) -> Any:
        """A value in the form and the types of the example."""
        if not entry.known:
            return plain((value,), self.place)[0]
        if isinstance(example, Tensor):
            tensor = plain((value,), self.place)[0]
            return cast(tensor, example, entry, self.place) if isinstance(tensor, Tensor) else tensor
        if isinstance(example, Mapping) and isinstance(value, Mapping):
            return {key: self._like(entry, part, value[key]) for key, part in example.items()}
        if isinstance(example, tuple | list) and isinstance(value, tuple | list) and len(example) == len(value):
            parts = [self._like(entry, one, other) for one, other in zip(example, value, strict=True)]
            return type(example)(parts)
        if type(value) is not type(example) or value != example:
            fact = f"gives {entry.name} as {value!r}, and the network was captured with {example!r}"
            raise DataError(self.place, fact, remedy="capture the model with that value")
        return value


def by_convention(item: Any, place: str, *, labelled: bool) -> Batch:
    """An item as a batch where it is not known what the network takes.

    Args:
        item: (input, target), or inputs alone.
        place: the name of the data, for messages.
        labelled: which of both.

    Raises:
        DataError: if it is something else, or is not finite.
    """
    if isinstance(item, Batch):
        inputs, targets = item
    elif not labelled:
        inputs, targets = item, None
    elif isinstance(item, tuple | list) and len(item) == 2:
        inputs, targets = item
    else:
        remedy = "give (input, target) pairs, or a tensor or a list of batches if there are no targets"
        raise DataError(place, f"gives a {type(item).__name__}, not a pair of inputs and targets", remedy=remedy)
    parts = inputs if isinstance(inputs, tuple | list) and not is_numeric(inputs) else (inputs,)
    return checked(Batch(plain(parts, place), as_targets(targets, (), place)), place)


def plain(values: Sequence[Any], place: str) -> tuple[Any, ...]:
    """Inputs with every array as a tensor.

    Raises:
        DataError: for something that is no array.
    """

    def tensor(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: tensor(item) for key, item in value.items()}
        if isinstance(value, tuple | list) and not is_numeric(value):
            return type(value)(tensor(item) for item in value)
        if not is_numeric(value):
            raise DataError(place, f"gives a {type(value).__name__} as input", remedy=FORMS)
        return as_tensor(value, place)

    return tuple(tensor(value) for value in values)


def checked(batch: Batch, place: str) -> Batch:
    """The batch, whose inputs are finite.

    Raises:
        DataError: if they are not.
    """
    for leaf in pytree.tree_leaves(batch.inputs):
        if isinstance(leaf, Tensor):
            check_finite(leaf, place)
    return batch


# How an example and a value compare -----------------------------------------------------------------------------------


def _has_form(entry: Input, value: Any) -> bool:
    """Whether a value is nested as the example is, so that it can be this input at all."""
    example = entry.example
    if not entry.known:
        return is_numeric(value) or isinstance(value, Mapping)
    if isinstance(example, Tensor):
        return is_numeric(value)
    if isinstance(example, Mapping):
        return isinstance(value, Mapping) and example.keys() <= value.keys()
    if isinstance(example, tuple | list):
        return isinstance(value, tuple | list) and len(value) == len(example)
    return type(value) is type(example) and bool(value == example)


def _fit(example: Any, value: Any, axis: int, along: int | None) -> int:
    """As `Reading.fit`; samples lie along `axis` in the example and `along` another in the value, or there is one."""
    if isinstance(example, Mapping):
        return min((_fit(part, value[key], axis, along) for key, part in example.items()), default=2)
    if isinstance(example, tuple | list):
        return min((_fit(one, other, axis, along) for one, other in zip(example, value, strict=True)), default=2)
    if not isinstance(example, Tensor):
        return 2
    expected, got = list(example.shape), list(shape_of(value))
    if along is not None and len(got) > along and len(expected) > axis:
        del got[along]
    if len(expected) > axis:
        del expected[axis]
    if len(got) != len(expected):
        return 0
    same = kind_of(value) == kind_of(example)
    return 2 if got == expected and same else 1 if got == expected or same else 0


def _keys(item: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, item)) or "none"


def _described(parts: Sequence[Any]) -> str:
    """Types and shapes of the parts of an item."""
    arrays = (Tensor, np.ndarray)
    words = [
        f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" if isinstance(one, arrays) else type(one).__name__
        for one in parts
    ]
    return f"{len(parts)} part{'' if len(parts) == 1 else 's'} ({', '.join(words)})"
