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
from microjoule.records.files import write_atomically
from microjoule.scheduling.computation import Computation, Operator, Value, sorted_operators


def read_graph(path: str | Path) -> Computation:
    """A computation from a JSON file.

    Raises:
        FileError: if there is no such file, or it holds something else.
        GraphError: for a size, an index or an order that cannot be.
    """
    place = Path(path)
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        values = tuple(_value(index, entry) for index, entry in enumerate(found["tensors"]))
        operators = [_operator(index, entry) for index, entry in enumerate(found["ops"])]
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(str(place), f"cannot be read ({error})", remedy="give the path of a JSON file") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        fact = f"is no computation graph ({type(error).__name__}: {error})"
        remedy = "give a JSON file with `tensors` and `ops`, as microjoule.scheduling.write_graph writes it"
        raise FileError(str(place), fact, remedy=remedy) from error
    try:
        return Computation(str(found.get("name", place.stem)), values, tuple(operators))
    except GraphError:
        known = all(0 <= value < len(values) for one in operators for value in (*one.inputs, *one.outputs))
        if not known:
            raise
    return Computation(str(found.get("name", place.stem)), values, sorted_operators(len(values), operators))


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
    name = str(entry.get("name", f"value {index}"))
    return Value(name, entry["size"], bool(entry.get("is_input", False)), bool(entry.get("is_output", False)))


def _operator(index: int, entry: Mapping[str, Any]) -> Operator:
    inplace, inputs, outputs = entry.get("inplace"), tuple(entry["inputs"]), tuple(entry["outputs"])
    if not all(type(value) is int for value in (*inputs, *outputs, 0 if inplace is None else inplace)):
        raise TypeError(f"operator {index} names values by something else than whole numbers")
    name, workspace = str(entry.get("name", f"operator {index}")), entry.get("workspace", 0)
    view, kind = bool(entry.get("view", False)), str(entry.get("kind", ""))
    return Operator(name, inputs, outputs, inplace, workspace, view, kind)
