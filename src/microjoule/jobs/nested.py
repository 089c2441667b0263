"""Nests of dicts, lists, tensors and numbers, such as the state of an optimizer, as named tensors and a JSON text."""

import json
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from microjoule.errors import FileError
from microjoule.jobs.part import Part

TENSOR, TUPLE, DICT, NUMBER = "tensor", "tuple", "dict", "number"
"""The keys that stand, in the text, for what JSON lacks."""

NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def pack(value: Any, place: str) -> Part:
    """A nest as a part; a tensor that stands in several places is stored once.

    Args:
        value: of dicts, lists, tuples, tensors, numbers, texts and None.
        place: what it is, for the message.

    Raises:
        FileError: if it holds anything else.
    """
    packing = _Packing(place)
    text = json.dumps(packing.encoded(value), allow_nan=False)
    return Part(packing.tensors, text)


def unpack(part: Part) -> Any:
    """What `pack` was given.

    Raises:
        ValueError: for a part that `pack` does not make.
    """
    try:
        return _decoded(json.loads(part.text), part.tensors)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"holds no state: {error!r}") from error


class _Packing:
    """Gathers tensors while a value is encoded."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def encoded(self, value: Any) -> Any:
        """A value as JSON; whatever JSON lacks is an object with one key."""
        encoded: Any
        match value:
            case None | bool() | int() | str():
                encoded = value
            case float():
                encoded = value if math.isfinite(value) else {NUMBER: str(value)}
            case Tensor():
                encoded = {TENSOR: self._name(value)}
            case list():
                encoded = [self.encoded(item) for item in value]
            case tuple():
                encoded = {TUPLE: [self.encoded(item) for item in value]}
            case dict():
                encoded = {DICT: [[self.encoded(key), self.encoded(item)] for key, item in value.items()]}
            case _:
                fact = f"holds a {type(value).__qualname__}, which cannot be kept in a folder"
                raise FileError(self.place, fact, remedy="leave the folder out, or use numbers and tensors alone")
        return encoded

    def _name(self, tensor: Tensor) -> str:
        """The name of a tensor; the same for those that are the same memory."""
        same = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride()) if tensor.numel() else ()
        name = self._names.setdefault(same, str(len(self.tensors))) if same else str(len(self.tensors))
        self.tensors.setdefault(name, tensor)
        return name


def _decoded(content: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(content, list):
        return [_decoded(item, tensors) for item in content]
    if not isinstance(content, dict):
        return content
    ((key, held),) = content.items()
    if key == TENSOR:
        return tensors[held]
    if key == NUMBER:
        return NOT_FINITE[held]
    if key == TUPLE:
        return tuple(_decoded(item, tensors) for item in held)
    if key == DICT:
        return {_decoded(name, tensors): _decoded(item, tensors) for name, item in held}
    raise KeyError(key)
