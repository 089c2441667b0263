"""Names in a saved network: fx writes them into the code that it makes, so each must be a name and nothing else."""

import keyword
import re
import unicodedata
from typing import Any

LONGEST = 1024
DEEPEST_PATH = 64
PART = re.compile(r"[^.\"'\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""A part of a module's path: fx writes one that is no identifier between quotation marks."""

TAKEN = frozenset(("self", "torch", "pytree", "fx_pytree"))
"""Names that the code which fx makes reads itself: an input of such a name would hide what they stand for."""


def argument(value: Any) -> str:
    """A name that an input can have.

    Raises:
        ValueError: if it is no name, or one that the code around it needs.
    """
    name = identifier(value)
    if name in TAKEN:
        raise ValueError(f"{name!r} is no name of an input")
    return name


def identifier(value: Any) -> str:
    """A text that is a name in Python's sense.

    Raises:
        ValueError: if it is none, a keyword, or another name than it seems (Python takes some letters for others).
    """
    name = text(value)
    if not name.isidentifier() or keyword.iskeyword(name) or unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"{name!r} is no name")
    return name


def path(value: Any) -> str:
    """A dotted path of modules, as `torch.nn.Module.get_submodule` takes it.

    Raises:
        ValueError: if a part is empty, holds quotation marks or control characters, or there are too many.
    """
    whole = text(value)
    parts = whole.split(".")
    if len(parts) > DEEPEST_PATH or not all(PART.fullmatch(part) for part in parts):
        raise ValueError(f"{whole!r} is no path of modules")
    return whole


def text(value: Any) -> str:
    """A text that is not too long.

    Raises:
        ValueError: if it is something else.
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{str(value)[:40]!r} is no name")
    return value
