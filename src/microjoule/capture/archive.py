"""What a `.pt2` file may hold, checked before torch reads it, because torch runs some of what it holds.

`torch.export.load` (2.13) unpickles example inputs without weights_only where they cannot be read with it, and weights
and constants that are marked as pickled; it loads compiled libraries; it evaluates the expressions of dynamic sizes as
Python; and it takes operators by name from anywhere in torch, so that a graph can call `torch.hub.load`. An ordinary
model's file needs none of that. So a file passes only if

- every member of the archive is of a kind on a list, and none is a pickle but the example inputs, to be read with
  weights_only=True;
- every expression consists of symbols, numbers, arithmetic and a few named functions;
- every operator is one of ATen's that cannot reach outside, or arithmetic on sizes.
"""

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from microjoule.errors import FileError

MEMBERS = re.compile(
    r"[^/]+/("
    r"data/weights/(weight_\d+|\w+_weights_config\.json)|data/constants/(tensor_\d+|\w+_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|models/model\.json|archive_format|archive_version|byteorder|version"
    r"|\.data/(version|serialization_id)|extra/.*"
    r")"
)
"""Members of an archive that hold no code; a member of another name may be a pickle or a library."""

OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file|save|load)\w+\.\w+|torch\.(sym_\w+|_check)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|not_|pow|pos)"
)
"""Operators that compute and do nothing else."""

FUNCTIONS = frozenset(
    {"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Mod", "PythonMod", "FloorDiv", "CeilDiv"}
    | {"CleanDiv", "IntTrueDiv", "FloatTrueDiv", "Max", "Min", "Where", "ModularIndexing", "ToFloat", "FloorToInt"}
    | {"CeilToInt", "TruncToInt", "Equality", "Unequality", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "LessThan", "And", "Or"}
    | {"Not", "StrictLessThan", "StrictGreaterThan", "GreaterThan"}
)
"""Functions of sizes."""

NAMES = frozenset({"True", "False", "None", "oo", "int_oo", "true", "false"})
ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.keyword, ast.Load)
SYMBOL = re.compile(r"[a-z]{1,4}\d+")


def check_archive(path: Path) -> None:
    """Raise if reading a `.pt2` file with torch could run something.

    Raises:
        FileError: naming what the file holds that it may not, or that it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for problem in _problems(archive):
                raise FileError(
                    str(path), f"holds {problem}", remedy="export the model again with torch.export.save, without it"
                )
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, SyntaxError, RecursionError) as error:
        raise FileError(str(path), f"is no whole .pt2 file: {error}", remedy="export the model again") from error


def _problems(archive: zipfile.ZipFile) -> Iterator[str]:
    """What an archive holds that torch might run, in words."""
    names = archive.namelist()
    yield from (f"a member {name!r}, which may be code" for name in names if not MEMBERS.fullmatch(name))
    for name in names:
        if name.endswith("_config.json"):
            entries = json.loads(archive.read(name))["config"].values()
            yield from (f"a pickled tensor {entry['path_name']!r}" for entry in entries if entry["use_pickle"])
            paths = [entry["path_name"] for entry in entries]
            yield from (
                f"an object {p!r} that is no tensor" for p in paths if not re.fullmatch(r"(weight|tensor)_\d+", p)
            )
        if name.endswith("/model.pt") and not _is_plain(archive.read(name)):
            yield "example inputs that are more than tensors, numbers, texts, lists and dicts"
        if name.endswith("/models/model.json"):
            text = archive.read(name).decode()
            if "__enum__" in text:
                yield "an enumeration, which would import its module"
            yield from _entries(json.loads(text))


def _is_plain(content: bytes) -> bool:
    """Whether torch reads example inputs without unpickling objects; a program without any has an empty member."""
    if not content:
        return True
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        return False
    return True


def _entries(value: Any) -> Iterator[str]:
    """What is wrong with the expressions and operators of a program, wherever they stand."""
    if isinstance(value, list):
        for item in value:
            yield from _entries(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "expr_str" and not is_arithmetic(str(item)):
                yield f"a size {item!r}, which is no arithmetic"
            elif key == "target" and isinstance(item, str) and "inputs" in value and not OPERATORS.fullmatch(item):
                yield f"an operator {item!r}, which is not one of ATen's"
            else:
                yield from _entries(item)


def is_arithmetic(text: str) -> bool:
    """Whether an expression consists of symbols, numbers, arithmetic and known functions of sizes alone."""
    for node in ast.walk(ast.parse(text, mode="eval")):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args):
                symbol = args[0].value if name == "Symbol" and args and isinstance(args[0], ast.Constant) else "s0"
                known = name in FUNCTIONS and SYMBOL.fullmatch(str(symbol)) is not None
            case ast.Name(id=name):
                known = name in FUNCTIONS or name in NAMES or SYMBOL.fullmatch(name) is not None
            case ast.Constant(value=constant):
                known = isinstance(constant, int | float) or SYMBOL.fullmatch(str(constant)) is not None
            case _:
                known = isinstance(node, (*ARITHMETIC, ast.operator, ast.unaryop, ast.boolop, ast.cmpop))
        if not known:
            return False
    return True
