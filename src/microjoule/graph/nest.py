"""Nested inputs and outputs: which tensor stands where in dicts, lists, tuples and dataclasses, as data.

A network's inputs are a row of tensors; a nest says how they lie in what a caller gives. Dataclasses and mappings of
any class count as dicts by field or key, named tuples as tuples, so that a nest names no class.
"""

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DEEPEST = 20
PLAIN = (bool, int, float, str, type(None))
"""Types of values that are stored as they are."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor: which one of the row."""

    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is no tensor, which a network was captured with: plain, or told by its `repr`."""

    value: bool | int | float | str | None
    plain: bool = True

    def fits(self, value: Any) -> bool:
        """Whether a value is this one; True is not 1."""
        if not self.plain:
            return repr(value) == self.value
        return (
            isinstance(value, PLAIN) and isinstance(value, bool) is isinstance(self.value, bool) and value == self.value
        )

    def __str__(self) -> str:
        """As Python writes it."""
        return repr(self.value) if self.plain else str(self.value)


@dataclass(frozen=True, slots=True)
class Items:
    """Several in a container: "dict" (with keys), "list" or "tuple"."""

    kind: str
    keys: tuple[str | int, ...]
    parts: tuple["Nest", ...]


Nest = Leaf | Constant | Items


def opened(value: Any) -> tuple[str, tuple[Any, ...], tuple[Any, ...]] | None:
    """Kind, keys and parts of a container; None for anything else."""
    if isinstance(value, Mapping):
        return "dict", tuple(value), tuple(value[key] for key in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return "dict", names, tuple(getattr(value, name) for name in names)
    if isinstance(value, list | tuple):
        return "list" if isinstance(value, list) else "tuple", tuple(range(len(value))), tuple(value)
    return None


def nest_of(value: Any, row: list[Any], *, depth: int = 0) -> Nest:
    """The nest of a value; its tensors (and numbers that depend on sizes) are added to a row.

    Raises:
        ValueError: for a container that holds itself, or a key that is neither a text nor a number.
    """
    if depth > DEEPEST:
        raise ValueError(f"containers nested more than {DEEPEST} deep")
    found = opened(value)
    if found is not None:
        kind, keys, parts = found
        for key in keys:
            if not isinstance(key, str | int):
                raise ValueError(f"a dict with a key of type {type(key).__name__}")
        return Items(kind, keys if kind == "dict" else (), tuple(nest_of(p, row, depth=depth + 1) for p in parts))
    if isinstance(value, Tensor | torch.SymInt | torch.SymFloat | torch.SymBool):
        row.append(value)
        return Leaf(len(row) - 1)
    if isinstance(value, PLAIN) and not (isinstance(value, float) and not math.isfinite(value)):
        return Constant(value)
    return Constant(repr(value), plain=False)


def filled(nest: Nest, row: Sequence[Any]) -> Any:
    """Plain containers with the tensors of a row in them."""
    match nest:
        case Leaf(index):
            return row[index]
        case Constant(value):
            return value
    parts = [filled(part, row) for part in nest.parts]
    if nest.kind == "dict":
        return dict(zip(nest.keys, parts, strict=True))
    return parts if nest.kind == "list" else tuple(parts)


def refilled(value: Any, row: Iterator[Any]) -> Any:
    """A value like another, with its classes, and other tensors in the order of `nest_of`."""
    found = opened(value)
    if found is None:
        return next(row) if isinstance(value, Tensor) else value
    kind, keys, parts = found
    made = [refilled(part, row) for part in parts]
    if type(value) in (dict, list, tuple):
        return dict(zip(keys, made, strict=True)) if kind == "dict" else type(value)(made)
    if isinstance(value, tuple):
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    other = copy.copy(value)
    for key, part in zip(keys, made, strict=True):
        if isinstance(value, Mapping | list):
            other[key] = part
        else:
            object.__setattr__(other, key, part)
    return other


def leaves(nest: Nest, name: str) -> Iterator[tuple[int, str]]:
    """Each tensor's place in the row, and its name: a path of keys and numbers ("pair.rest.0")."""
    if isinstance(nest, Leaf):
        yield nest.index, name
    elif isinstance(nest, Items):
        for key, part in zip(nest.keys or range(len(nest.parts)), nest.parts, strict=True):
            yield from leaves(part, f"{name}.{key}")


def to_plain(nest: Nest) -> Any:
    """A nest as JSON."""
    match nest:
        case Leaf(index):
            return {"tensor": index}
        case Constant(value, plain):
            return {"value": value} if plain else {"like": value}
    parts = [to_plain(part) for part in nest.parts]
    return {"dict": [list(nest.keys), parts]} if nest.kind == "dict" else {nest.kind: parts}


def from_plain(value: Any, *, depth: int = 0) -> Nest:
    """A nest out of what a file holds.

    Raises:
        ValueError: if it is none.
    """
    if depth > DEEPEST or not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a nest of inputs that is none")
    ((kind, held),) = value.items()
    if kind == "tensor" and type(held) is int and held >= 0:
        return Leaf(held)
    if kind == "value" and isinstance(held, PLAIN):
        return Constant(held)
    if kind == "like" and isinstance(held, str):
        return Constant(held, plain=False)
    keys, parts = held if kind == "dict" and isinstance(held, list) and len(held) == 2 else ([], held)
    listed = isinstance(parts, list) and isinstance(keys, list) and (kind != "dict" or parts is not held)
    if not listed or kind not in ("dict", "list", "tuple") or (kind == "dict" and len(keys) != len(parts)):
        raise ValueError("a nest of inputs that is none")
    if not all(isinstance(key, str | int) for key in keys):
        raise ValueError("a nest of inputs with a key that is neither a text nor a number")
    return Items(kind, tuple(keys), tuple(from_plain(part, depth=depth + 1) for part in parts))
