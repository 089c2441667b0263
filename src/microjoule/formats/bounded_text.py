"""JSON and TOML from anywhere, as plain values within bounds: how deep they nest, how many they are, how large.

What is not bounded here would have to be bounded by everyone who reads a file: a text nested 100,000 deep ends any
function that calls itself, a number of 400 digits no longer fits a float, half a character of UTF-16 cannot be printed.
"""

import json
import math
import tomllib
from typing import Any, Never

from microjoule.errors import FileError

DEEPEST = 64
"""How deep lists and objects may lie in each other."""

MOST_VALUES = 5_000_000
"""How many values a text may hold; each takes up to some 100 bytes of memory."""

LONGEST_TOML = 1 << 15
"""Characters of a TOML text: Python's reader takes a time that grows with the square of what one name holds."""

LARGEST_NUMBER = 2**64 - 1
"""Of whole numbers, with either sign: what 64 bits hold."""


def read_json(text: str | bytes, place: str, *, remedy: str) -> Any:
    """A JSON text as plain values.

    Args:
        text: JSON; bytes are UTF-8.
        place: where it came from, for messages.
        remedy: what to do if it is damaged.

    Raises:
        FileError: for what is no JSON, an object with the same name twice, NaN or infinity, whole numbers over 64 bits,
            too many values or too deep ones.
    """
    try:
        written = text.decode("utf-8") if isinstance(text, bytes) else text
        _require_few(written)
        value = json.loads(written, parse_constant=_no_number, object_pairs_hook=_object)
        _require_plain(value)
    except RecursionError as error:
        raise FileError(place, f"is nested more than {DEEPEST} deep", remedy=remedy) from error
    except UnicodeDecodeError as error:
        raise FileError(place, f"is not valid JSON: it is no UTF-8 at byte {error.start}", remedy=remedy) from error
    except ValueError as error:
        raise FileError(place, f"is not valid JSON: {_short(error)}", remedy=remedy) from error
    return value


def read_toml(text: str, place: str, *, remedy: str) -> dict[str, Any]:
    """A TOML text as plain values; it is bounded as JSON is.

    Args:
        text: TOML.
        place: where it came from, for messages.
        remedy: what to do if it is damaged.

    Raises:
        FileError: for what is no TOML, numbers that are not finite or over 64 bits, a text too long or too deep.
    """
    try:
        if len(text) > LONGEST_TOML:
            raise ValueError(f"it has {len(text):,} characters, and {LONGEST_TOML:,} are the most that are read")
        value = tomllib.loads(text)
        _require_plain(value)
    except RecursionError as error:
        raise FileError(place, f"is nested more than {DEEPEST} deep", remedy=remedy) from error
    except ValueError as error:
        raise FileError(place, f"is not valid TOML: {_short(error)}", remedy=remedy) from error
    return value


def _require_few(text: str) -> None:
    """Each value but the first stands behind a comma or a bracket."""
    if len(text) < MOST_VALUES:
        return
    most = sum(map(text.count, ",[{"))
    if most > MOST_VALUES:
        raise ValueError(f"it holds up to {most:,} values, and {MOST_VALUES:,} are the most that are read")


def _require_plain(value: Any) -> None:
    """Go through all values, without a function that calls itself."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise RecursionError
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is list:
                below += item
            elif kind is dict:
                below += item
                below += item.values()
            elif kind in (int, float) and not -LARGEST_NUMBER <= item <= LARGEST_NUMBER:
                _require_finite(item)
            elif kind is str and not item.isascii():
                _require_whole_characters(item)
        level, depth = below, depth + 1


def _require_finite(number: float) -> None:
    if isinstance(number, int) or not math.isfinite(number):
        raise ValueError("a whole number has more than 64 bits" if isinstance(number, int) else f"a number is {number}")


def _require_whole_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half a character") from error


def _no_number(constant: str) -> Never:
    raise ValueError(f"{constant} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object names the same field twice")
    return content


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
