"""A value in words that are the same in every process, and differ where the value does: options, functions, modules.

A function is told by its name, its code, its defaults and what it closes over, so that `flips_and_shifts(pixels=2)` and
`flips_and_shifts(pixels=4)` differ; the code of libraries is told by their versions. An object is told by its class and
its attributes, or by what its own method `run_identity()` gives. Addresses, and the order of sets and dicts, do not
count.
"""

import functools
import hashlib
import random
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.utils.hooks import RemovableHandle

from microjoule.graph.network import Network

DEPTH = 16
"""How deep values are looked into; deeper ones are told by their class alone."""

VALUES = 100_000
"""How many objects are looked into for one description, at most."""

SHOWN = 60
"""Characters of a long text that are shown, before its digest."""

LIBRARIES = ("torch", "microjoule", "numpy", "builtins", "operator", "functools", "math", "typing", "abc")
"""Packages whose code a version tells."""

BY_TEXT = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size, range, PurePath)
"""Classes whose values `str` tells."""

UNTOLD = ("__dict__", "__weakref__")
"""Slots that hold no attribute."""

BY_CLASS = (types.GeneratorType, RemovableHandle)
"""Classes whose values differ from process to process, and change no result."""

OWN = frozenset(vars(nn.Module())) - {"training"}
"""What a module keeps for torch: its parts, which are told by themselves, and its hooks."""


def describe(value: Any) -> str:
    """A value in words: a short one as it is, a longer one by its beginning and a digest.

    Args:
        value: an option, a tensor, a function, a module, an object, or a nest of them.
    """
    return shortened(_Describer().told(value))


def shortened(text: str) -> str:
    """A text as it is, or its beginning and a digest if it is long."""
    return text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]}… {short_digest(text.encode(errors='replace'))}"


def short_digest(content: bytes | memoryview) -> str:
    """Sixteen hexadecimal digits that tell bytes from others."""
    return hashlib.sha256(content).hexdigest()[:16]


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, in the order of its indices.

    Args:
        tensor: any shape and type.
    """
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def describe_tensor(tensor: Tensor) -> str:
    """A tensor by type, shape and digest.

    Args:
        tensor: any shape and type.
    """
    head = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
    plain = tensor.layout is torch.strided and not tensor.is_quantized
    return f"{head} {short_digest(tensor_bytes(tensor) if plain else repr(tensor).encode())}"


def module_settings(module: nn.Module) -> dict[str, str]:
    """All that a module goes by beside its parts: attributes such as stride, eps and momentum, its mode, its hooks.

    Args:
        module: of any class.
    """
    describer = _Describer()
    return {name: shortened(describer.told(value)) for name, value in (_settings(module) | _code_of(module)).items()}


def _settings(module: nn.Module) -> dict[str, Any]:
    """Attributes by name; torch's private ones follow from the public ones."""
    private = not type(module).__module__.startswith("torch.")
    found = {
        name: value
        for name, value in vars(module).items()
        if name not in OWN and (private or not name.startswith("_")) and not isinstance(value, nn.Module)
    }
    hooks = {name: list(vars(module).get(name, {}).values()) for name in ("_forward_pre_hooks", "_forward_hooks")}
    return found | {name.strip("_"): held for name, held in hooks.items() if held}


class _Describer:
    """Tells one value; knows which objects it is within, as these may hold one another."""

    def __init__(self) -> None:
        self.within: dict[int, int] = {}
        self.seen = 0
        self.kinds: Sequence[tuple[Any, Callable[[Any], str]]] = (
            (Tensor, describe_tensor),
            (np.ndarray, self._array),
            (Enum, lambda value: f"{type(value).__qualname__}.{value.name}"),
            (BY_TEXT, str),
            (BY_CLASS, lambda value: type(value).__qualname__),
            (Node, lambda value: f"%{value.name}"),
            (slice, lambda value: f"slice({self._all((value.start, value.stop, value.step))})"),
            (Mapping, self._mapping),
            (Set, lambda value: f"{{{', '.join(sorted(map(self.told, value)))}}}"),
            ((list, deque), lambda value: f"[{self._all(value)}]"),
            (tuple, lambda value: f"({self._all(value)})"),
            (functools.partial, lambda value: self._call("partial", (value.func, *value.args), value.keywords)),
            (types.MethodType, lambda value: f"{self.told(value.__func__)} of {self.told(value.__self__)}"),
            (types.FunctionType, self._function),
            (types.CodeType, self._code),
            ((type, types.BuiltinFunctionType), _name),
            ((types.ModuleType, torch._ops.OpOverload), str),
            (torch.Generator, lambda value: f"generator of seed {value.initial_seed()}"),
            ((random.Random, np.random.Generator), lambda value: f"{type(value).__qualname__} {_state(value)}"),
            (nn.Module, self._module),
            (Network, lambda value: self._module(value.module)),
        )

    def told(self, value: Any) -> str:
        """A value in words."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or (
            isinstance(value, bool | int | float | complex | str | bytes) and not isinstance(value, Enum)
        ):
            return repr(value)
        self.seen += 1
        if len(self.within) >= DEPTH or self.seen > VALUES:
            return f"a {type(value).__qualname__}"
        if id(value) in self.within:
            return f"the {type(value).__qualname__} {len(self.within) - self.within[id(value)]} levels above"
        self.within[id(value)] = len(self.within)
        try:
            return next((tell for kinds, tell in self.kinds if isinstance(value, kinds)), self._object)(value)
        finally:
            del self.within[id(value)]

    def _all(self, values: Iterable[Any]) -> str:
        return ", ".join(map(self.told, values))

    def _mapping(self, value: Mapping[Any, Any]) -> str:
        pairs = sorted((self.told(key), self.told(item)) for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"

    def _call(self, name: str, args: Iterable[Any], named: Mapping[str, Any]) -> str:
        parts = [*map(self.told, args), *(f"{key}={self.told(item)}" for key, item in sorted(named.items()))]
        return f"{name}({', '.join(parts)})"

    def _array(self, value: "np.ndarray[Any, Any]") -> str:
        if value.dtype.hasobject:
            return f"{value.dtype} {value.shape} {self.told(value.tolist())}"
        return f"{value.dtype} {value.shape} {short_digest(np.ascontiguousarray(value).tobytes())}"

    def _function(self, function: types.FunctionType) -> str:
        """Its name, with all that may change what it does."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        named = {name: _content(cell) for name, cell in cells}
        if function.__defaults__ or function.__kwdefaults__:
            named["defaults"] = function.__defaults__, function.__kwdefaults__
        if not _of_a_library(function):
            named |= {"code": function.__code__} | _globals(function)
        return self._call(_name(function), (), named) if named else _name(function)

    def _code(self, code: types.CodeType) -> str:
        content = (code.co_code, code.co_names, code.co_freevars, code.co_consts, code.co_exceptiontable)
        return short_digest(self.told(content).encode(errors="replace"))

    def _module(self, module: nn.Module) -> str:
        parts: dict[str, Any] = {**module._parameters, **module._buffers, **module._modules}
        if isinstance(module, GraphModule):
            parts["nodes"] = [(node, node.op, node.target, node.args, node.kwargs) for node in module.graph.nodes]
        return self._call(type(module).__qualname__, (), {**_settings(module), **parts, **_code_of(module)})

    def _object(self, value: Any) -> str:
        name = type(value).__qualname__
        if callable(getattr(type(value), "run_identity", None)):
            return f"{name}({self.told(value.run_identity())})"
        return self._call(name, (), _attributes(value) | _code_of(value))


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}" if _of_a_library(value) else str(value.__qualname__)


def _state(generator: "random.Random | np.random.Generator") -> str:
    state = generator.getstate() if isinstance(generator, random.Random) else generator.bit_generator.state
    return short_digest(repr(state).encode())


def _of_a_library(value: Any) -> bool:
    """Whether a function or class belongs to a package whose version tells its code."""
    return str(getattr(value, "__module__", None) or "").partition(".")[0] in LIBRARIES


def _globals(function: types.FunctionType) -> dict[str, Any]:
    """What a function finds by name: numbers, texts and tensors, and functions of the same module."""
    found = {}
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        same = isinstance(value, types.FunctionType) and value.__module__ == function.__module__
        if same or isinstance(value, bool | int | float | str | Tensor | tuple | functools.partial):
            found[f"global {name}"] = value
    return found


def _names(code: types.CodeType) -> set[str]:
    """All names that a code looks up, those within it too."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, types.CodeType)))


def _content(cell: "types.CellType") -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _attributes(value: Any) -> dict[str, Any]:
    """An object's own attributes; of a dataclass its fields alone."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
    else:
        slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
        each = (name for some in slots for name in ((some,) if isinstance(some, str) else some))
        names = [*getattr(value, "__dict__", {}), *each]
    return {name: getattr(value, name) for name in names if name not in UNTOLD and hasattr(value, name)}


def _code_of(value: Any) -> dict[str, Any]:
    """The code of all methods of an object's class, and its constants, as far as the class is no library's."""
    found = {}
    for kind in type(value).__mro__:
        if not _of_a_library(kind):
            members = {name: getattr(held, "__func__", held) for name, held in vars(kind).items()}
            codes = {name: one.__code__ for name, one in members.items() if isinstance(one, types.FunctionType)}
            plain = {name: one for name, one in members.items() if isinstance(one, bool | int | float | str | tuple)}
            constants = {name: one for name, one in plain.items() if not name.startswith("__")}
            found[f"code of {kind.__qualname__}"] = codes | constants
    return {name: held for name, held in found.items() if held}
