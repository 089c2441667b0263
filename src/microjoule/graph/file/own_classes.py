"""Classes of one's own in a saved network: how they are saved, and that they load only when they are handed over.

A file names such a class and never finds it: `mj.load(path, allow=[MyLayer])` says which class a name stands for. What
is saved of a module is what its constructor was given, and its tensors. A class says what its constructor was given by
a method `settings()`; without one, each argument of the constructor is the attribute of the same name. Settings are
plain: numbers, texts, truth values, None, and lists, tuples and dicts of these.

    class Scaled(nn.Module):
        def __init__(self, channels, power=1.0):
            super().__init__()
            self.channels, self.power = channels, power
            self.scale = nn.Parameter(torch.ones(channels))

To load it, the class is called with its settings where tensors have shapes and no values (torch's "meta" device); then
it gets the tensors of the file, which must have these shapes.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from microjoule.errors import FileError, SettingError
from microjoule.graph.file.values import decode, encode

TORCHS = ("device", "dtype")
"""Arguments of constructors of torch's that say where and how tensors are made; the file's tensors say that."""


def own_settings(
    path: str, cls: type[nn.Module], module: nn.Module, *, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a module's constructor was given, as a file holds it.

    Args:
        path: of the module.
        cls: a class of one's own.
        module: of that class.
        without: arguments that are stored in another way.

    Raises:
        FileError: if an argument is not known, or not plain.
    """
    said = getattr(module, "settings", None)
    given = said() if callable(said) else _attributes(path, cls, module, without)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise _unsaved(path, cls, "its settings() gives no dict of arguments by name")
    for name, value in given.items():
        if not _is_plain(value):
            raise _unsaved(path, cls, f"its setting {name!r} is a {type(value).__name__}")
    return {name: encode(value) for name, value in given.items()}


def classes_by_name(allow: Iterable[Any]) -> dict[str, type[nn.Module]]:
    """Classes that a caller hands over, by name.

    Raises:
        SettingError: if two have the same name.
    """
    found: dict[str, type[nn.Module]] = {}
    for one in allow:
        if found.setdefault(one.__qualname__, one) is not one:
            raise SettingError("allow", f"holds two classes called {one.__qualname__}", remedy="rename one of them")
    return found


def made(name: str, classes: Mapping[str, type[nn.Module]], settings: Any, more: Mapping[str, Any]) -> nn.Module:
    """A module of a class that the caller handed over, without values in its tensors.

    Args:
        name: of the class.
        classes: those that were handed over.
        settings: for its constructor, as the file has them.
        more: further arguments.

    Raises:
        FileError: if the class was not handed over.
        ValueError: if the class does not take the settings.
    """
    if name not in classes:
        fact = f"is a class that is not microjoule's, and a file cannot bring {name} along"
        raise FileError(name, fact, remedy=f"hand it over, if you trust it: mj.load(path, allow=[{name}])")
    if not isinstance(settings, dict):
        raise ValueError(f"the settings of a {name} are no dict")
    given = {key: decode(value, {}) for key, value in settings.items()}
    try:
        with torch.device("meta"):
            module = classes[name](**given, **more)
    except Exception as error:  # whatever the caller's class raises
        raise ValueError(f"{name} cannot be made with {given!r:.200}: {error}") from error
    for attribute, value in vars(module).items():
        if isinstance(value, Tensor):
            raise ValueError(f"{name} holds the tensor {attribute} in no buffer, so that no file can hold it")
    return module


def _attributes(path: str, cls: type, module: nn.Module, without: tuple[str, ...]) -> dict[str, Any]:
    given = {}
    for parameter in inspect.signature(cls).parameters.values():
        name = parameter.name
        if name in without or name in TORCHS:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(module, name):
            raise _unsaved(path, cls, f"its constructor takes {name!r}, and it has no attribute of that name")
        given[name] = getattr(module, name)
    return given


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)


def _unsaved(path: str, cls: type, fact: str) -> FileError:
    return FileError(
        path,
        f"a {cls.__name__} cannot be saved: {fact}",
        remedy="give the class a method settings(), which returns the arguments of its constructor as plain values",
    )
