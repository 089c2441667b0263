"""How a model is called: its example inputs bound to the signature of its `forward`, and a row of tensors out of them.

A model is traced as a function of a row of tensors that gives a row of tensors, so that neither the classes in which
its inputs and outputs lie nor the order in which a caller names them ever reach the graph.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.utils.rnn import PackedSequence

from microjoule.errors import CaptureError
from microjoule.graph.contract import Parameter, names_of
from microjoule.graph.nest import Nest, filled, nest_of, opened, refilled
from microjoule.graph.network import Example

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
KINDS: dict[Any, str] = {
    **dict.fromkeys(POSITIONAL, "positional"),
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "args",
    inspect.Parameter.VAR_KEYWORD: "kwargs",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A model's example call.

    Args:
        args: positional inputs, in the signature's order.
        kwargs: the others.
        parameters: of the signature, with the nest of what each was given.
        row: every tensor in the inputs, in the signature's order.
        names: of the tensors.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parameters: tuple[Parameter, ...]
    row: tuple[Tensor, ...]
    names: tuple[str, ...]

    def of(self, module: Callable[..., Any], row: Sequence[Tensor]) -> Any:
        """Call a module with other tensors."""
        rest = iter(row)
        args = [refilled(one, rest) for one in self.args]
        kwargs = {name: refilled(one, rest) for name, one in self.kwargs.items()}
        return module(*args, **kwargs)

    def example(self, row: Sequence[Tensor]) -> Example:
        """Inputs in plain containers, with other tensors."""
        values: dict[str, Any] = {}
        for one in self.parameters:
            if one.given is not None:
                values[one.name] = filled(one.given, row)
        kinds = {one.name: one.kind for one in self.parameters}
        given = [(kinds[name], name, value) for name, value in values.items()]
        args = [value for kind, name, value in given if kind == "positional" and name not in self.kwargs]
        args += [item for kind, _, value in given if kind == "args" for item in value]
        kwargs = {name: value for kind, name, value in given if kind == "keyword" or name in self.kwargs}
        for kind, _, value in given:
            kwargs |= value if kind == "kwargs" else {}
        return Example(tuple(args), kwargs)


def call_of(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, device: torch.device | None = None
) -> Call:
    """Bind example inputs to a model's signature.

    Args:
        module: the model.
        args: positional inputs.
        kwargs: inputs by keyword.
        device: to which tensors go; None to leave them where they are.

    Raises:
        CaptureError: if they do not fit it, or hold something that no network takes.
    """
    for value in _values((args, dict(kwargs)), 0):
        _check_value(value)
    try:
        signature = inspect.signature(module.forward)
        bound = signature.bind(*args, **kwargs)
        row: list[Any] = []
        parameters = [_parameter(one, bound.arguments, row) for one in signature.parameters.values()]
    except (TypeError, ValueError) as error:
        raise CaptureError(
            "example_inputs",
            f"do not fit {type(module).__name__}.forward: {error}",
            remedy="pass inputs of the shapes and types that the model takes",
        ) from error
    if not row:
        raise CaptureError("example_inputs", "hold no tensor", remedy="pass inputs as the model takes them")
    with torch.inference_mode(mode=False):
        moved = [tensor if device is None else tensor.to(device) for tensor in row]
        for index, tensor in enumerate(moved):  # the same tensor twice is two inputs, which may differ the next time
            if tensor.is_inference() or any(tensor is other for other in moved[:index]):
                moved[index] = tensor.clone()
    return Call(bound.args, bound.kwargs, tuple(parameters), tuple(moved), tuple(names_of(parameters)))


def program_call(program: ExportedProgram, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """How an exported program is called.

    Args:
        program: what torch.export gave.
        args: positional inputs.
        kwargs: inputs by keyword, in the program's order.
    """
    signature = program.module_call_graph[0].signature
    called = list(getattr(signature, "forward_arg_names", None) or [])
    called += [f"input_{index}" for index in range(len(called), len(args))]
    row: list[Any] = []
    parameters = [Parameter(name, "positional", nest_of(value, row)) for name, value in zip(called, args, strict=False)]
    parameters += [Parameter(name, "keyword", nest_of(value, row)) for name, value in kwargs.items()]
    return Call(args, dict(kwargs), tuple(parameters), tuple(row), tuple(names_of(parameters)))


def _parameter(parameter: inspect.Parameter, given: Mapping[str, Any], row: list[Any]) -> Parameter:
    """A parameter with what it was given, whose tensors are added to a row."""
    nest = nest_of(given[parameter.name], row) if parameter.name in given else None
    default = None if parameter.default is inspect.Parameter.empty else nest_of(parameter.default, [])
    return Parameter(parameter.name, KINDS[parameter.kind], nest, default)


def _values(value: Any, depth: int) -> list[Any]:
    """What inputs consist of, containers left out but packed sequences."""
    found = None if isinstance(value, PackedSequence) else opened(value)
    if found is None or depth > 30:
        return [value]
    return [one for part in found[2] for one in _values(part, depth + 1)]


def _check_value(value: Any) -> None:
    fact, remedy = "", "pass inputs as the model takes them, in ordinary tensors"
    if isinstance(value, PackedSequence):
        fact, remedy = "hold a packed sequence", "pass padded sequences, and mask what is padded"
    elif isinstance(value, np.ndarray):
        fact, remedy = "hold a numpy array", "convert it with torch.as_tensor"
    elif isinstance(value, Tensor):
        if value.is_quantized or value.is_complex() or (value.is_floating_point() and value.itemsize == 1):
            fact, remedy = f"hold a tensor of {value.dtype}", "pass real numbers in 16, 32 or 64 bits, or integers"
        elif value.layout is not torch.strided or value.is_nested:
            fact, remedy = "hold a sparse or nested tensor", "convert it with .to_dense()"
        elif value.device.type == "meta":
            fact, remedy = "hold a tensor without data (meta)", "pass ordinary inputs"
        elif value.is_floating_point() and not bool(torch.isfinite(value).all()):
            fact, remedy = "hold NaN or infinite values", "pass ordinary inputs"
        elif 0 in value.shape:
            fact, remedy = f"hold an empty tensor of shape {tuple(value.shape)}", "pass at least one sample"
    if fact:
        raise CaptureError("example_inputs", fact, remedy=remedy)


class Seen:
    """What one call of a model showed: how its output was nested, and what torch knew of the sizes, if it was traced.

    `reading` gives a context in which the model is called.
    """

    nest: Nest | None = None
    shape_env: Any = None
    reading: Callable[[], AbstractContextManager[Any]] = nullcontext


class Flat(nn.Module):
    """A model as a function from a row of tensors to a row of tensors.

    Args:
        model: the model.
        call: how it is called.
    """

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model = model
        self.call = call
        self.seen = Seen()

    def forward(self, *row: Tensor) -> tuple[Any, ...]:
        """The tensors of the model's output.

        Args:
            row: each of any shape.
        """
        sizes: list[Any] = [size for tensor in row for size in tensor.shape]
        self.seen.shape_env = next((size.node.shape_env for size in sizes if isinstance(size, torch.SymInt)), None)
        with self.seen.reading():
            output = self.call.of(self.model, row)
        self.seen.nest, found = output_of(output)
        return tuple(found)


def output_of(value: Any) -> tuple[Nest, list[Any]]:
    """The nest of an output, and its row of tensors.

    Raises:
        CaptureError: if there is no tensor in it, or one that no network gives.
    """
    row: list[Any] = []
    for one in _values(value, 0):
        if isinstance(one, PackedSequence):
            raise CaptureError(
                "the model's output", "is a packed sequence", remedy="give padded sequences (pad_packed_sequence)"
            )
    try:
        nest = nest_of(value, row)
    except ValueError as error:
        raise CaptureError(
            "the model's output", f"has {error}", remedy="give tensors in dicts, lists and tuples"
        ) from error
    if not any(isinstance(one, Tensor) for one in row):
        raise CaptureError(
            "the model's output",
            "holds no tensor",
            remedy="let forward give tensors, alone or in dicts, lists or tuples",
        )
    return nest, row
