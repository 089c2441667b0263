"""`module.py:function`: a function in a file of the user's, called for a model or data. This runs the user's code."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from microjoule.errors import FileError

SEPARATOR = ".py:"
FORM = "give it as module.py:function, where the function needs no arguments"


def is_python(text: str) -> bool:
    """Whether a source is a Python file, with or without the name of a function."""
    return SEPARATOR in text or text.endswith(".py")


def call(text: str) -> Any:
    """Import a Python file, call one of its functions without arguments, and give what it returns.

    The file's folder can be imported from, as when Python runs the file.

    Args:
        text: "module.py:function", or "module.py" if the file has one public function of its own.

    Raises:
        FileError: the file is missing or cannot be imported, there is no such function, or it raises.
    """
    path, name = _split(text)
    if not path.is_file():
        raise FileError(str(path), "there is no such file", remedy="check the path")
    module = _imported(path)
    function = _chosen(module, path, name)
    needed = [p.name for p in inspect.signature(function).parameters.values() if _is_needed(p)]
    if needed:
        raise FileError(text, f"takes the arguments {', '.join(needed)}", remedy=FORM)
    return _guarded(path, function)


def _split(text: str) -> tuple[Path, str]:
    if text.endswith(".py"):
        return Path(text), ""
    path, _, name = text.rpartition(":")
    return Path(path), name


def _is_needed(parameter: inspect.Parameter) -> bool:
    collects = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and not collects


def _imported(path: Path) -> ModuleType:
    name = f"microjoule_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of worker processes look their module up here
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader = spec.loader
    _guarded(path, lambda: loader.exec_module(module))
    return module


def _chosen(module: ModuleType, path: Path, name: str) -> Callable[[], Any]:
    own = [key for key, value in vars(module).items() if _is_own(module, key, value)]
    there = f"it has {', '.join(own)}" if own else "it has none"
    if name:
        found = getattr(module, name, None)
        if not callable(found):
            raise FileError(
                f"{path}:{name}", "there is no such function", remedy=f"name a function of the file: {there}"
            )
        chosen: Callable[[], Any] = found
        return chosen
    if len(own) != 1:
        raise FileError(str(path), f"has {len(own)} functions, so one must be named", remedy=f"{FORM}; {there}")
    only: Callable[[], Any] = getattr(module, own[0])
    return only


def _is_own(module: ModuleType, name: str, value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")


def _guarded(path: Path, function: Callable[[], Any]) -> Any:
    """Call the user's code; what it raises becomes one error with the line of the user's file."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise FileError(
            _line(path, error),
            f"raises {type(error).__name__}: {_first_line(error)}",
            remedy="mend it there; -v shows more",
        ) from error


def _line(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.resolve()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
