"""What a network takes: names, types and shapes of its inputs, and for which sizes it holds.

A network is what a model computes for one example, and for other sizes only as far as they were left free. The contract
says how far: which dimensions are free (the batch, and others on request), what the free sizes must satisfy, and which
Python arguments the model was captured with. It is plain values, stored with the network; `microjoule.graph.bind` holds
inputs to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from microjoule.graph.nest import Items, Nest, from_plain, leaves, nest_of, to_plain
from microjoule.graph.sizes import Expression, checked, evaluate, holds, names, put, text

BATCH = "n"
"""The name of the number of samples, where it is free."""

KINDS = ("positional", "keyword", "args", "kwargs")
"""A parameter that is given by place or name, by name alone, and the rest of either."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the model's forward.

    Args:
        name: as in its signature.
        kind: one of `KINDS`.
        given: what capture was given for it, or None if it was left out.
        default: what it is where it is left out; None if it cannot be.
    """

    name: str
    kind: str
    given: Nest | None
    default: Nest | None = None

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of parameter")


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor that a network takes.

    Args:
        name: the parameter's, followed by keys where tensors are nested: "x", "pair.rest.0".
        dtype: torch's name of it, "float32".
        dims: each a number, or an expression in free sizes.
    """

    name: str
    dtype: str
    dims: tuple[Expression, ...]

    def __str__(self) -> str:
        """Its shape in words: (n, 3, 32, 32)."""
        written = ", ".join(text(dim) for dim in self.dims)
        return f"({written},)" if len(self.dims) == 1 else f"({written})"


@dataclass(frozen=True, slots=True)
class Contract:
    """What a network takes.

    Args:
        parameters: of the model's forward, in the order of its signature.
        inputs: tensors, in the order of the network's placeholders.
        sizes: free sizes by name -> the smallest and the largest (None if there is none) that they may be.
        conditions: what the free sizes must satisfy, as torch.export found.
        batch_axis: the dimension that counts samples.
        batched: for each input, whether that dimension of it counts samples.
    """

    parameters: tuple[Parameter, ...]
    inputs: tuple[Input, ...]
    sizes: Mapping[str, tuple[int, int | None]]
    conditions: tuple[Expression, ...] = ()
    batch_axis: int = 0
    batched: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        """Check that all names are known."""
        read = {name for one in self.inputs for dim in one.dims for name in names(dim)}
        read |= {name for condition in self.conditions for name in names(condition)}
        if not read <= set(self.sizes):
            raise ValueError(f"sizes {sorted(read - set(self.sizes))} have no range")
        if len(self.batched) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs, {len(self.batched)} of which are said to be batched or not")

    @property
    def dynamic_batch(self) -> bool:
        """Whether the number of samples is free."""
        return BATCH in self.sizes

    @property
    def captured(self) -> tuple[tuple[str, Nest], ...]:
        """The names and nests of the inputs that there were at capture, in the order of the signature.

        Those of `*args` and `**kwargs` stand one by one; a parameter that was left out does not stand here.
        """
        found: list[tuple[str, Nest]] = []
        for one in self.parameters:
            if isinstance(one.given, Items) and one.kind in ("args", "kwargs"):
                keys = one.given.keys or tuple(range(len(one.given.parts)))
                called = [str(key) if one.kind == "kwargs" else f"{one.name}.{key}" for key in keys]
                found += zip(called, one.given.parts, strict=True)
            elif one.given is not None:
                found.append((one.name, one.given))
        return tuple(found)

    @property
    def batch_names(self) -> set[str]:
        """The free sizes that count samples: inputs that are independent of each other may have one each."""
        counting = (one.dims for one, counts in zip(self.inputs, self.batched, strict=True) if counts)
        return {dims[self.batch_axis] for dims in counting if isinstance(dims[self.batch_axis], str)}  # type: ignore[misc]

    def accepts(self, sizes: Mapping[str, int]) -> bool:
        """Whether the network holds for some free sizes."""
        return not self.broken(sizes)

    def broken(self, sizes: Mapping[str, int]) -> str:
        """What some free sizes do not satisfy, in words; empty if they satisfy everything."""
        for name, (low, high) in self.sizes.items():
            if sizes[name] < low:
                return f"{name} >= {low}"
            if high is not None and sizes[name] > high:
                return f"{name} <= {high}"
        return next((text(condition) for condition in self.conditions if not holds(condition, sizes)), "")

    def shape(self, index: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of one input for some free sizes."""
        return tuple(int(evaluate(dim, sizes)) for dim in self.inputs[index].dims)

    def sizes_of(self, row: Sequence[Tensor]) -> dict[str, int]:
        """The free sizes of some tensors of the right ranks."""
        pairs = (
            (d, s) for one, t in zip(self.inputs, row, strict=True) for d, s in zip(one.dims, t.shape, strict=True)
        )
        return {dim: size for dim, size in pairs if isinstance(dim, str)}

    def samples(self, row: Sequence[Tensor]) -> int | None:
        """How many samples some tensors hold; None if no dimension counts them."""
        counting = (tensor for tensor, counts in zip(row, self.batched, strict=True) if counts)
        return next((tensor.shape[self.batch_axis] for tensor in counting), None)

    def at_least(self, name: str, size: int) -> "Contract":
        """The same with another smallest value of a free size."""
        return replace(self, sizes={**self.sizes, name: (size, self.sizes[name][1])})

    def fixed_batch(self, row: Sequence[Tensor]) -> "Contract":
        """The same with as many samples as some tensors hold."""
        known = {name: size for name, size in self.sizes_of(row).items() if name in self.batch_names}
        inputs = tuple(replace(one, dims=tuple(put(dim, known) for dim in one.dims)) for one in self.inputs)
        conditions = (put(condition, known) for condition in self.conditions)
        return replace(
            self,
            inputs=inputs,
            sizes={name: bounds for name, bounds in self.sizes.items() if name not in known},
            conditions=tuple(one for one in conditions if names(one)),
        )

    def to_dtype(self, dtype: torch.dtype) -> "Contract":
        """The same for another floating-point type."""
        name = name_of(dtype)
        inputs = (replace(one, dtype=name) if dtype_of(one.dtype).is_floating_point else one for one in self.inputs)
        return replace(self, inputs=tuple(inputs))


def name_of(dtype: torch.dtype) -> str:
    """A type's name in torch."""
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """The type of a name.

    Raises:
        ValueError: if torch has none of it.
    """
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name!r} is no type of numbers")
    return found


def contract_of(args: Sequence[Any], kwargs: Mapping[str, Any], *, free_batch: bool = True) -> Contract:
    """A contract for inputs of which nothing else is known: the batch is the first dimension of the first tensor.

    Args:
        args: positional inputs.
        kwargs: inputs by keyword.
        free_batch: whether any number of samples is taken.
    """
    row: list[Any] = []
    parameters = [Parameter(f"input_{i}", "positional", nest_of(one, row)) for i, one in enumerate(args)]
    parameters += [Parameter(name, "keyword", nest_of(one, row)) for name, one in kwargs.items()]
    samples = next((tensor.shape[0] for tensor in row if tensor.dim()), None)
    batched = tuple(tensor.dim() > 0 and tensor.shape[0] == samples for tensor in row)
    free = free_batch and any(batched)
    called = names_of(parameters)
    inputs = []
    for index, tensor in enumerate(row):
        first: tuple[Expression, ...] = (BATCH,) if free and batched[index] else tuple(tensor.shape[:1])
        inputs.append(Input(called[index], name_of(tensor.dtype), (*first, *tensor.shape[1:])))
    return Contract(tuple(parameters), tuple(inputs), {BATCH: (1, None)} if free else {}, batched=batched)


def names_of(parameters: Sequence[Parameter]) -> list[str]:
    """The tensors' names, in the order of the row."""
    found = [pair for one in parameters if one.given is not None for pair in _named(one)]
    return [name for _, name in sorted(found)]


def _named(parameter: Parameter) -> list[tuple[int, str]]:
    assert parameter.given is not None
    if parameter.kind == "kwargs":  # each has a name of its own
        return [(index, name.partition(".")[2]) for index, name in leaves(parameter.given, parameter.name)]
    return list(leaves(parameter.given, parameter.name))


def require_fit(contract: Contract, row: Sequence[Tensor]) -> None:
    """Raise if a contract is not one for some tensors.

    Args:
        contract: what a network takes.
        row: tensors of any shapes, in the order of its inputs.

    Raises:
        ValueError: naming the input that it is not for.
    """
    if len(row) != len(contract.inputs):
        raise ValueError(f"it takes {len(contract.inputs)} inputs, and its example has {len(row)}")
    for one, tensor in zip(contract.inputs, row, strict=True):
        if dtype_of(one.dtype) != tensor.dtype or len(one.dims) != tensor.dim():
            raise ValueError(f"{one.name} is a {one.dtype} of shape {one}, and its example is another tensor")
    sizes = contract.sizes_of(row)
    if set(sizes) != set(contract.sizes):
        raise ValueError(f"no dimension is called {', '.join(sorted(set(contract.sizes) - set(sizes)))}")
    for index, (one, tensor) in enumerate(zip(contract.inputs, row, strict=True)):
        if contract.shape(index, sizes) != tuple(tensor.shape):
            raise ValueError(f"{one.name} has shape {one}, and its example {tuple(tensor.shape)}")
    if not contract.accepts(sizes):
        raise ValueError(f"its example breaks {contract.broken(sizes)}")


# As JSON --------------------------------------------------------------------------------------------------------------


def plain_contract(contract: Contract) -> dict[str, Any]:
    """A contract as JSON."""
    return {
        "parameters": [
            {
                "name": one.name,
                "kind": one.kind,
                "given": None if one.given is None else to_plain(one.given),
                "default": None if one.default is None else to_plain(one.default),
            }
            for one in contract.parameters
        ],
        "inputs": [{"name": one.name, "dtype": one.dtype, "dims": list(one.dims)} for one in contract.inputs],
        "sizes": {name: list(bounds) for name, bounds in contract.sizes.items()},
        "conditions": list(contract.conditions),
        "batch_axis": contract.batch_axis,
        "batched": list(contract.batched),
    }


def contract_from_plain(value: Any) -> Contract:
    """A contract out of what a file holds.

    Raises:
        ValueError, TypeError, LookupError: if it is none.
    """
    parameters = tuple(
        Parameter(
            _text(one["name"]),
            _text(one["kind"]),
            None if one["given"] is None else from_plain(one["given"]),
            None if one["default"] is None else from_plain(one["default"]),
        )
        for one in value["parameters"]
    )
    inputs = tuple(
        Input(_text(one["name"]), _text(one["dtype"]), tuple(checked(dim) for dim in one["dims"]))
        for one in value["inputs"]
    )
    made = Contract(
        parameters,
        inputs,
        {_text(name): _bounds(*bounds) for name, bounds in value["sizes"].items()},
        tuple(checked(condition) for condition in value["conditions"]),
        _whole(value["batch_axis"]),
        tuple(bool(one) for one in value["batched"]),
    )
    for one in inputs:
        dtype_of(one.dtype)
    if sorted(index for one in parameters if one.given is not None for index, _ in leaves(one.given, "")) != list(
        range(len(inputs))
    ):
        raise ValueError("a contract whose parameters do not hold each input once")
    return made


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no dimension or size")
    return value


def _bounds(low: Any, high: Any) -> tuple[int, int | None]:
    return _whole(low), None if high is None else _whole(high)
