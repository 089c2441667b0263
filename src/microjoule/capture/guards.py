"""For which sizes a program holds: torch.export's shapes, ranges and guards as the contract of a network."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from microjoule.capture.arithmetic import parsed
from microjoule.capture.program import argument_name
from microjoule.graph.contract import BATCH, Contract, Input, Parameter, name_of
from microjoule.graph.nest import Items, Leaf, Nest
from microjoule.graph.sizes import Expression, names

SMALLEST_TRACED = 2
"""torch.export takes 0 and 1 for constants, so that it knows of a free size that it is at least this."""

LARGEST = 2**40
"""A size that is as good as none."""

BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 31, 32, 64, 100, 1000)
"""Numbers of samples for which a free batch must hold."""


def contract_of_program(
    program: ExportedProgram, parameters: Sequence[Parameter], called: Sequence[str], *, batch_axis: int, wrapped: bool
) -> Contract:
    """The contract of a program, in the order of its tensors.

    Args:
        program: as torch.export gave it, of a model or of one wrapped in `Flat`.
        parameters: of the model.
        called: the tensors' names.
        batch_axis: the dimension that counts samples.
        wrapped: whether the program is of a model in `Flat`.

    Raises:
        ValueError: for a size or a guard that is more than arithmetic.
    """
    user_inputs = set(program.graph_signature.user_inputs)
    values = [
        node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in user_inputs and isinstance(node.meta.get("val"), Tensor)
    ]
    batched = _batched(values, batch_axis)
    symbols = _symbols(values, called, batched, batch_axis)
    inputs = []
    for value, name in zip(values, called, strict=True):
        dims = tuple(_dim(size, symbols) for size in value.shape)
        inputs.append(Input(name, name_of(value.dtype), dims))
    ranges = {name: _range(program, symbol) for symbol, name in symbols.items()}
    found = [
        _condition(guard, inputs, None if wrapped else parameters) for guard in getattr(program, "_guards_code", [])
    ]
    conditions = tuple(dict.fromkeys(one for one in found if not isinstance(one, bool)))
    used = {name for one in inputs for dim in one.dims for name in names(dim)}
    if not used <= {dim for one in inputs for dim in one.dims}:
        raise ValueError("a free size that no input has by itself")
    conditions = tuple(one for one in conditions if names(one) and not _is_plain(one))
    return Contract(
        tuple(parameters),
        tuple(inputs),
        {name: ranges[name] for name in ranges if name in used},
        conditions,
        batch_axis,
        batched,
    )


def _is_plain(condition: Expression) -> bool:
    """Whether a condition compares a size with itself."""
    return isinstance(condition, tuple) and len(condition) == 3 and condition[1] == condition[2]


def restriction(contract: Contract, sizes: Mapping[str, int]) -> str:
    """Why not any number of samples goes through a network whose batch is free, in words; empty if any does."""
    for samples in BATCHES:
        broken = contract.broken({**sizes, BATCH: samples})
        if broken and not (samples < SMALLEST_TRACED and broken == f"{BATCH} >= {SMALLEST_TRACED}"):
            return broken
    return ""


def _batched(values: Sequence[Tensor], axis: int) -> tuple[bool, ...]:
    """Whether each tensor counts samples: by a free dimension, or by the first tensor's size where none is free."""
    sizes = [value.shape[axis] if value.dim() > axis else None for value in values]
    free = [isinstance(size, torch.SymInt) for size in sizes]
    if any(free):
        return tuple(free)
    first = next((size for size in sizes if size is not None), None)
    return tuple(size is not None and size == first for size in sizes)


def _symbols(values: Sequence[Tensor], called: Sequence[str], batched: Sequence[bool], axis: int) -> dict[str, str]:
    """torch's names of free sizes -> ours: that of the batch, and of others after the input and the dimension."""
    found: dict[str, str] = {}
    for value, name, counts in zip(values, called, batched, strict=True):
        for place, size in enumerate(value.shape):
            symbol = _written(size)
            if isinstance(size, torch.SymInt) and symbol.isidentifier() and symbol not in found:
                ours = BATCH if counts and place == axis and BATCH not in found.values() else ""
                found[symbol] = ours or f"{argument_name(name)}_{place}"
    return found


def _written(size: Any) -> str:
    return str(size.node.expr) if isinstance(size, torch.SymInt) else str(size)


def _dim(size: Any, symbols: Mapping[str, str]) -> Expression:
    if not isinstance(size, torch.SymInt):
        return int(size)

    def atom(node: ast.expr) -> Expression | None:
        return symbols[node.id] if isinstance(node, ast.Name) else None

    try:
        return parsed(_written(size), atom)
    except KeyError as error:
        raise ValueError(f"a free size {error} that no input has by itself") from error


def _range(program: ExportedProgram, symbol: str) -> tuple[int, int | None]:
    for known, bounds in program.range_constraints.items():
        if str(known) == symbol:
            low, high = (str(end) for end in (bounds.lower, bounds.upper))
            largest = int(high) if high.isdigit() else LARGEST
            return max(int(low), 1) if low.isdigit() else 1, None if largest >= LARGEST else largest
    return SMALLEST_TRACED, None


def _condition(guard: str, inputs: Sequence[Input], parameters: Sequence[Parameter] | None) -> Expression:
    """A guard in our sizes; one that is plainly true or false is that."""

    def atom(node: ast.expr) -> Expression | None:
        match node:
            case ast.Subscript(
                value=ast.Call(func=ast.Attribute(value=source, attr="size")), slice=ast.Constant(value=int(place))
            ):
                return inputs[_tensor_at(source, parameters)].dims[place]
        return None

    return parsed(guard, atom)


def _tensor_at(source: ast.expr, parameters: Sequence[Parameter] | None) -> int:
    """Which tensor a guard means by `L['x'][0]['key']`; in `Flat` they lie in one row."""
    keys: list[Any] = []
    while isinstance(source, ast.Subscript) and isinstance(source.slice, ast.Constant):
        keys.insert(0, source.slice.value)
        source = source.value
    if parameters is None:
        return int(keys[1])
    nest: Nest | None = next((one.given for one in parameters if keys and one.name == keys[0]), None)
    for key in keys[1:]:
        if not isinstance(nest, Items):
            break
        at = nest.keys.index(key) if nest.kind == "dict" else key
        nest = nest.parts[at]
    if isinstance(nest, Leaf):
        return nest.index
    raise ValueError(f"a guard of {ast.unparse(source)}, which is no input")
