"""The arguments of a network's nodes as JSON, and back: numbers, texts, other nodes, and what torch names by a word."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node

from microjoule.errors import FileError

TORCH_NAMES: dict[str, Any] = {
    name: value
    for name, value in vars(torch).items()
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format)
}
"""Types, layouts and orders of memory by torch's names for them."""

DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:\d{1,2})?")
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any) -> Any:
    """An argument as JSON; whatever JSON lacks is an object with one tag.

    Raises:
        FileError: if a file cannot hold it.
    """
    encoded: Any
    match value:
        case None | bool() | int() | str():
            encoded = value
        case float():
            encoded = value if math.isfinite(value) else {"float": str(value)}
        case Node():
            encoded = {"node": value.name}
        case tuple():
            encoded = {"tuple": [encode(item) for item in value]}
        case list():
            encoded = [encode(item) for item in value]
        case dict():
            encoded = {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
        case slice():
            encoded = {"slice": [encode(bound) for bound in (value.start, value.stop, value.step)]}
        case _:
            encoded = _encode_named(value)
    return encoded


def _encode_named(value: Any) -> dict[str, Any]:
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        return {"torch": str(value).removeprefix("torch.")}
    raise FileError(repr(value), "is an argument that cannot be saved", remedy="use torch.export.save")


def decode(value: Any, nodes: Mapping[str, Any]) -> Any:
    """An argument from JSON.

    Args:
        value: as `encode` gives it.
        nodes: what to put for other nodes, by name.

    Raises:
        ValueError, LookupError: if it is no argument.
    """
    if isinstance(value, list):
        return [decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"an argument has the tags {', '.join(value)}")
    ((tag, content),) = value.items()
    if tag == "node":
        return nodes[content]
    if tag in NAMED:
        return NAMED[tag](content)
    if tag not in NESTED or not isinstance(content, list):
        raise ValueError(f"an argument has the unknown tag {tag!r}")
    return NESTED[tag]([decode(item, nodes) for item in content])


def _device(name: Any) -> torch.device:
    if not isinstance(name, str) or not DEVICE.fullmatch(name):
        raise ValueError(f"{str(name)[:40]!r} is no device")
    return torch.device(name)


def _dict(entries: list[Any]) -> dict[Any, Any]:
    made = {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str | int):
            raise ValueError("an entry of a dict is no key and value")
        made[entry[0]] = entry[1]
    return made


def _slice(bounds: list[Any]) -> slice:
    start, stop, step = bounds
    return slice(start, stop, step)


def _complex(parts: list[Any]) -> complex:
    real, imaginary = parts
    if not all(isinstance(part, int | float) for part in parts):
        raise ValueError("a complex number has other parts than two numbers")
    return complex(real, imaginary)


NAMED: dict[str, Callable[[Any], Any]] = {
    "float": NOT_FINITE.__getitem__,
    "torch": TORCH_NAMES.__getitem__,
    "device": _device,
}
"""What makes an argument of a word."""

NESTED: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "dict": _dict, "slice": _slice, "complex": _complex}
"""What makes an argument of others."""
