"""What torch.save wrote, without unpickling: nested tuples, lists and dicts of tensors, numbers and texts.

A pickle is a program for a stack machine, which may call anything. Here only those of its steps are known that build
plain values and describe tensors; a tensor's bytes are another member of the same archive, and stay there.

Source: CPython, Lib/pickletools.py, https://github.com/python/cpython; torch, torch/_utils.py.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

MOST_STEPS, MOST_VALUES, DEEPEST = 1_000_000, 100_000, 32
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""How torch calls the memory of a tensor, and its type."""


class PickleError(ValueError):
    """Something that is no plain value, or damaged."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor whose bytes lie elsewhere.

    Args:
        key: of its memory.
        dtype: torch's name for its type.
        offset: of its first element.
        shape: of all of it.
        strides: in elements.
        is_parameter: whether it is a module's parameter.
    """

    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_parameter: bool = False


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str


def read_tensors(content: bytes | bytearray) -> Any:
    """The value of a pickle.

    Raises:
        PickleError: if it holds something else than plain values and tensors, or is damaged.
    """
    machine = _Machine()
    try:
        for count, (step, argument, _) in enumerate(pickletools.genops(BytesIO(content))):
            if count > MOST_STEPS:
                raise PickleError(f"it has more than {MOST_STEPS:,} steps")
            if step.name == "STOP":
                return machine.result()
            machine.do(step.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise PickleError(str(error) or type(error).__name__) from error
    raise PickleError("it has no end")


@dataclass
class _Machine:
    """The stack, what was put aside, and where groups of values start."""

    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)
    marks: list[int] = field(default_factory=list)

    def do(self, step: str, argument: Any) -> None:
        """One step."""
        if step in VALUES:
            self.stack.append(argument)
        elif step in CONSTANTS:
            self.stack.append(CONSTANTS[step]())
        elif step in STEPS:
            STEPS[step](self, argument)
        elif step not in IGNORED:
            raise PickleError(f"it has the step {step}, which plain values need not")

    def result(self) -> Any:
        """What is left at the end."""
        if len(self.stack) != 1 or self.marks:
            raise PickleError("it leaves more than one value")
        return _unfolded(self.stack[0], DEEPEST, [MOST_VALUES])

    def since_mark(self) -> list[Any]:
        """Take the values behind the last mark off the stack."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def take(self, count: int) -> tuple[Any, ...]:
        """Take some values off the stack."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise PickleError("it takes more values than there are")
        found = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return found


def _unfolded(value: Any, depth: int, left: list[int]) -> Any:
    """The same value as a tree: a pickle may name a value many times, or have a list hold itself.

    Args:
        value: tuples, lists and dicts of plain values.
        depth: how deep it may go on.
        left: how many values may still come.
    """
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise PickleError(f"it is more than {DEEPEST} deep, or holds more than {MOST_VALUES:,} values")
    if isinstance(value, dict):
        return {key: _unfolded(item, depth - 1, left) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_unfolded(item, depth - 1, left) for item in value)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise PickleError("a whole number has more than 64 bits")
    if value is not None and not isinstance(value, bool | int | float | str | StoredTensor):
        raise PickleError("it holds something else than tensors, numbers and texts")
    return value


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        machine.stack.append(machine.take(count))

    return step


def _append(machine: _Machine, values: list[Any]) -> None:
    goal = machine.stack[-1]
    if type(goal) is not list:
        raise PickleError("it appends to something else than a list")
    goal.extend(values)


def _set(machine: _Machine, values: list[Any]) -> None:
    goal = machine.stack[-1]
    if type(goal) is not dict or len(values) % 2:
        raise PickleError("it puts entries into something else than a dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str | int):
            raise PickleError(f"a dict has the key {key!r}")
        goal[key] = value


def _get(machine: _Machine, index: Any) -> None:
    machine.stack.append(machine.memory[int(index)])


def _put(machine: _Machine, index: Any) -> None:
    machine.memory[int(index)] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memory[len(machine.memory)] = machine.stack[-1]


def _global(machine: _Machine, named: Any) -> None:
    machine.stack.append(_maker(str(named)))


def _stack_global(machine: _Machine, _: Any) -> None:
    machine.stack.append(_maker(" ".join(map(str, machine.take(2)))))


def _maker(named: str) -> Any:
    """What a name stands for: a function of ours, or the type of a tensor's memory."""
    module, _, name = named.partition(" ")
    if named in MAKERS:
        return MAKERS[named]
    if module == "torch" and name in STORAGES:
        return STORAGES[name]
    raise PickleError(f"it names {named.replace(' ', '.')}, which is more than a tensor, number or text")


def _reduce(machine: _Machine, _: Any) -> None:
    maker, arguments = machine.take(2)
    if maker not in MAKERS.values() or not isinstance(arguments, tuple):
        raise PickleError("it calls something")
    machine.stack.append(maker(*arguments))


def _persistent(machine: _Machine, _: Any) -> None:
    ((kind, dtype, key, _place, _count),) = machine.take(1)
    if kind != "storage" or dtype not in STORAGES.values() or not isinstance(key, str):
        raise PickleError("it refers to something else than a tensor's memory")
    machine.stack.append(_Storage(key, dtype))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or any(type(one) is not int or one < 0 for one in numbers):
        raise PickleError("a tensor is no tensor")
    if len(shape) != len(strides) or len(shape) > 64:
        raise PickleError("a tensor has a shape and other strides")
    return StoredTensor(storage.key, storage.dtype, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *_: Any) -> StoredTensor:
    if not isinstance(tensor, StoredTensor):
        raise PickleError("a parameter is no tensor")
    return StoredTensor(tensor.key, tensor.dtype, tensor.offset, tensor.shape, tensor.strides, is_parameter=True)


def _empty_dict() -> dict[Any, Any]:
    return {}


def _size(values: Any) -> tuple[int, ...]:
    return tuple(values)


MAKERS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "collections OrderedDict": _empty_dict,
    "torch Size": _size,
}
VALUES = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "FLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
    )
)
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
IGNORED = frozenset(("PROTO", "FRAME"))
STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": lambda machine, _: _append(machine, list(machine.take(1))),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set(machine, list(machine.take(2))),
    "SETITEMS": lambda machine, _: _set(machine, machine.since_mark()),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BINPERSID": _persistent,
}
