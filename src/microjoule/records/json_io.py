"""Records to JSON and back, strictly: what is read has the fields and types of a record, or it is refused.

A record is an object whose "record" is the name of its class; records inside it carry no name, since the field's type
says which they are. JSON has no infinity and no NaN: they are written as the texts "inf", "-inf" and "nan".
"""

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from microjoule.errors import FileError, MicrojouleError
from microjoule.formats.bounded_text import read_json
from microjoule.records.facts import Record

TAG = "record"
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Record)}
"""Every record by the name of its class."""

FIELDS: dict[type[Any], tuple[dict[str, "Field[Any]"], dict[str, Any]]] = {}
"""What `_fields` found."""

NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def to_json(records: Record | Sequence[Record]) -> str:
    """One record as a JSON object, or a sequence of them as a JSON list."""
    if isinstance(records, Sequence):
        return json.dumps([_tagged(record) for record in records], indent=1, allow_nan=False)
    return json.dumps(_tagged(records), indent=1, allow_nan=False)


def from_json(text: str, *, source: str = "JSON text") -> Record | list[Record]:
    """Read what `to_json` wrote: a record from an object, a list from a list.

    Args:
        source: where the text came from, for messages.

    Raises:
        FileError: for text that is not JSON, an unknown record or field, a missing field, a value of the wrong type.
    """
    return _records(read_json(text, source, remedy="write it again with to_json"), source)


def records_from_json(text: str, *, source: str = "JSON text") -> list[Record]:
    """Read records as a list, also where the text holds a single one; as `from_json` otherwise."""
    return records_of(read_json(text, source, remedy="write it again with to_json"), source=source)


def records_of(content: Any, *, source: str = "JSON text") -> list[Record]:
    """Records from a list, or one from an object, that were read from JSON already; as `from_json` otherwise."""
    found = _records(content, source)
    return found if isinstance(found, list) else [found]


def _records(content: Any, source: str) -> Record | list[Record]:
    try:
        if isinstance(content, list):
            return [_record(item, f"[{index}]") for index, item in enumerate(content)]
        record: Record = _record(content, "")
    except (_WrongError, MicrojouleError, ValueError, TypeError) as wrong:
        raise FileError(
            source, str(wrong), remedy="use the version of microjoule that wrote it, or write it again"
        ) from wrong
    return record


# Writing ---------------------------------------------------------------------


def _tagged(record: Record) -> dict[str, Any]:
    return {TAG: type(record).__name__, **_plain_fields(record)}


def _plain_fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return next(text for text, number in NOT_FINITE.items() if number == value or math.isnan(number))
    return value


# Reading ---------------------------------------------------------------------


class _WrongError(Exception):
    """Some part of the content is not what a record has there."""


def _record(content: Any, place: str) -> Any:
    if not isinstance(content, dict) or TAG not in content:
        raise _WrongError(f'{place or "the top"} must be an object with a field "{TAG}"')
    name = content[TAG]
    if not isinstance(name, str) or name not in KINDS:
        raise _WrongError(f"{place or 'the top'} is an unknown record {name!r}")
    body = {key: value for key, value in content.items() if key != TAG}
    return _instance(body, KINDS[name], place + name)


def _instance(content: Any, kind: type[Any], place: str) -> Any:
    if not isinstance(content, dict):
        raise _WrongError(f"{place} must be an object, got {_short(content)}")
    known, hints = _fields(kind)
    for name in content:
        if name not in known:
            raise _WrongError(f"{place} has an unknown field {name!r}")
    for name, field in known.items():
        if name not in content and not _has_default(field):
            raise _WrongError(f"{place} lacks the field {name!r}")
    return kind(**{name: _value(value, hints[name], f"{place}.{name}") for name, value in content.items()})


def _fields(kind: type[Any]) -> tuple[dict[str, "Field[Any]"], dict[str, Any]]:
    """The fields of a record and their types, which take a while to find."""
    if kind not in FIELDS:
        FIELDS[kind] = {field.name: field for field in fields(kind)}, get_type_hints(kind)
    return FIELDS[kind]


def _has_default(field: "Field[Any]") -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _value(content: Any, hint: Any, place: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple(content, get_args(hint), place)
    if origin is dict:
        return _dict(content, get_args(hint)[1], place)
    if origin is UnionType:
        (other,) = (option for option in get_args(hint) if option is not NoneType)
        return None if content is None else _value(content, other, place)
    if isinstance(hint, type) and is_dataclass(hint):
        return _instance(content, hint, place)
    if hint is float:
        return _float(content, place)
    if type(content) is not hint:
        raise _WrongError(f"{place} must be {hint.__name__}, got {_short(content)}")
    return content


def _tuple(content: Any, hints: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    if not isinstance(content, list):
        raise _WrongError(f"{place} must be a list, got {_short(content)}")
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(content)
    if len(hints) != len(content):
        raise _WrongError(f"{place} must hold {len(hints)} values, got {len(content)}")
    return tuple(_value(item, hint, f"{place}[{i}]") for i, (item, hint) in enumerate(zip(content, hints, strict=True)))


def _dict(content: Any, hint: Any, place: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _WrongError(f"{place} must be an object, got {_short(content)}")
    return {key: _value(value, hint, f"{place}[{key!r}]") for key, value in content.items()}


def _float(content: Any, place: str) -> float:
    if isinstance(content, str) and content in NOT_FINITE:
        return NOT_FINITE[content]
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise _WrongError(f"{place} must be a number, got {_short(content)}")
    return float(content)


def _short(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 60 else text[:57] + "..."
