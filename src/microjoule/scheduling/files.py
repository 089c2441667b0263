"""Computations as JSON files: `values` with their bytes, and `operators` with what they read and write.

    {"name": "...",
     "tensors": [{"size": 3920, "is_input": true, "is_output": false}, ...],
     "ops": [{"inputs": [0], "outputs": [1], "inplace": null}, ...]}

A tensor may have a "name"; an operator a "name", a "kind", a "workspace" in bytes, and "view": true. Other
entries are passed over.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microjoule.errors import FileError, GraphError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import read_json
from microjoule.records.files import write_atomically
from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators

REMEDY = "give a JSON file with `tensors` and `ops`, as microjoule.scheduling.write_graph writes it"


def read_graph(path: str | Path) -> Computation:
    """A computation from a JSON file.

    Raises:
        FileError: if there is no such file, or it holds something else.
        GraphError: for a size, an index or an order that cannot be.
    """
    place = Path(path)
    found = read_json(read_text(place, remedy=REMEDY), str(place), remedy=REMEDY)
    try:
        whole = _object(found)
        name = _text(whole.get("name", place.stem))
        values = tuple(_value(index, _object(entry)) for index, entry in enumerate(_list(whole["tensors"])))
        operators = [_operator(index, _object(entry)) for index, entry in enumerate(_list(whole["ops"]))]
    except (ValueError, KeyError) as error:
        fact = f"lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise FileError(str(place), f"is no computation graph: {fact}", remedy=REMEDY) from error
    try:
        return Computation(name, values, tuple(operators))
    except GraphError:
        known = all(0 <= value < len(values) for one in operators for value in (*one.inputs, *one.outputs))
        if not known:
            raise
    return Computation(name, values, sorted_operators(len(values), operators))


def write_graph(computation: Computation, path: str | Path) -> Path:
    """Write a computation as a JSON file, whole or not at all.

    Returns:
        The path that was given.

    Raises:
        FileError: if it cannot be written.
    """
    tensors = [
        {"name": one.name, "size": one.size_bytes, "is_input": one.is_input, "is_output": one.is_output}
        for one in computation.values
    ]
    ops = [
        {
            "name": one.name,
            "inputs": list(one.inputs),
            "outputs": list(one.outputs),
            "inplace": one.inplace,
            "workspace": one.workspace_bytes,
            "view": one.is_view,
            "kind": one.kind,
        }
        for one in computation.operators
    ]
    whole = {"name": computation.name, "unit": "bytes", "tensors": tensors, "ops": ops}
    return write_atomically(path, json.dumps(whole, indent=1) + "\n")


def _value(index: int, entry: Mapping[str, Any]) -> Value:
    name = _text(entry.get("name", f"value {index}"))
    size = _whole(entry["size"], name)
    return Value(name, size, _switch(entry, "is_input"), _switch(entry, "is_output"))


def _operator(index: int, entry: Mapping[str, Any]) -> Operator:
    name = _text(entry.get("name", f"operator {index}"))
    inputs, outputs = (tuple(_whole(one, name) for one in _list(entry[key])) for key in ("inputs", "outputs"))
    inplace, workspace = entry.get("inplace"), _whole(entry.get("workspace", 0), name)
    return Operator(
        name,
        inputs,
        outputs,
        None if inplace is None else _whole(inplace, name),
        workspace,
        _switch(entry, "view"),
        _text(entry.get("kind", "")),
    )


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.80} is no object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.80} is no list")
    return value


def _whole(value: Any, place: str) -> int:
    if type(value) is not int:
        raise ValueError(f"{place} has {value!r:.80} where a whole number should be")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no text")
    return value


def _switch(entry: Mapping[str, Any], name: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}, which is neither true nor false")
    return value
