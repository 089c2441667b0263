"""A model traced by torch.export, with some dimensions of its inputs free, and the contract that comes of it."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from microjoule.capture.guards import contract_of_program, restriction
from microjoule.capture.signature import Call, Flat
from microjoule.capture.source import first_line
from microjoule.capture.stored_numbers import StoredNumbers
from microjoule.errors import CaptureError
from microjoule.graph.contract import Contract
from microjoule.graph.nest import Nest

SHAPES_LOGGER = "torch.fx.experimental.symbolic_shapes"
"""What torch calls the logger that warns of shapes that depend on values."""

Axes = tuple[frozenset[int], ...]
"""For each tensor of the row, its free dimensions."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced model.

    Args:
        program: of the model in `Flat`.
        nest: of its output.
        contract: of its inputs.
        sizes: the free sizes with which it was traced.
    """

    program: ExportedProgram
    nest: Nest
    contract: Contract
    sizes: Mapping[str, int]


class NotFreeError(Exception):
    """A dimension that was to be free is not, and why."""


class NotTracedError(Exception):
    """torch.export cannot trace the model; the cause is what it raised."""


def batch_axes(row: Sequence[Tensor], axis: int) -> list[Axes]:
    """Which dimensions may be the batch, the likeliest first: of all tensors of the first one's size, of the first
    tensor alone, of all tensors.
    """
    sizes = [tensor.shape[axis] if tensor.dim() > axis else None for tensor in row]
    first = next((index for index, size in enumerate(sizes) if size is not None), None)
    if first is None:
        return []
    alike = tuple(frozenset([axis]) if size == sizes[first] else frozenset[int]() for size in sizes)
    alone = tuple(frozenset([axis]) if index == first else frozenset[int]() for index in range(len(sizes)))
    every = tuple(frozenset([axis]) if size is not None else frozenset[int]() for size in sizes)
    return list(dict.fromkeys((alike, alone, every)))


def traced(model: nn.Module, call: Call, axes: Axes, *, batch_axis: int) -> Traced:
    """Trace a model with some dimensions free.

    Raises:
        NotFreeError: if the model fixes one of them, or restricts the batch.
        NotTracedError: if torch.export cannot trace it.
        CaptureError: for an output that no network gives.
    """
    row = [_widened(tensor, free) for tensor, free in zip(call.row, axes, strict=True)]
    flat = Flat(model, call)
    shapes = tuple(dict.fromkeys(sorted(free), Dim.AUTO) for free in axes)
    try:
        program = _exported(flat, tuple(row), shapes if any(axes) else None)
    except CaptureError:
        raise
    except Exception as error:
        raise NotTracedError(first_line(error)) from error
    nest = flat.seen.nest
    assert nest is not None
    try:
        contract = contract_of_program(program, call.parameters, call.names, batch_axis=batch_axis, wrapped=True)
    except ValueError as error:
        raise NotFreeError(f"torch.export found a condition on {error}") from error
    sizes = {
        dim: size
        for one, tensor in zip(contract.inputs, row, strict=True)
        for dim, size in zip(one.dims, tensor.shape, strict=True)
        if isinstance(dim, str)
    }
    _check_free(contract, axes, flat)
    if contract.dynamic_batch:
        restricted = restriction(contract, sizes)
        if restricted:
            raise NotFreeError(f"it holds only where {restricted}{_place(flat)}")
    return Traced(program, nest, contract, sizes)


def _check_free(contract: Contract, axes: Axes, flat: Flat) -> None:
    for one, free in zip(contract.inputs, axes, strict=True):
        for axis in sorted(free):
            if isinstance(one.dims[axis], int):
                fact = f"the model computes with dimension {axis} of {one.name} as a number"
                raise NotFreeError(f"{fact}{_place(flat)}")


def _place(flat: Flat) -> str:
    """The line of the user's code that fixes a size, where torch knows it."""
    guards = getattr(flat.seen.shape_env, "guards", [])
    frames: list[Any] = [getattr(getattr(guard, "sloc", None), "framework_loc", None) for guard in guards]
    inside = str(Path(torch.__file__).parent)
    found = [one for one in frames if hasattr(one, "lineno") and not str(one.filename).startswith((inside, "<"))]
    return f", at {found[0].filename}:{found[0].lineno} ({(found[0].line or '').strip()})" if found else ""


def _widened(tensor: Tensor, free: frozenset[int]) -> Tensor:
    """A tensor with two entries along a free dimension that has one: torch.export takes a size of 1 for a constant."""
    for axis in free:
        if tensor.shape[axis] == 1:
            tensor = torch.cat([tensor, tensor], axis)
    return tensor


def _exported(flat: Flat, row: tuple[Tensor, ...], shapes: Any) -> ExportedProgram:
    """Export; the graph that torch prints and the warnings that it logs on failure are left to our error."""
    real = {name: tensor.detach() for name, tensor in _stored(flat.model).items()}
    flat.seen.reading = lambda: StoredNumbers(_stored(flat.model), real)
    dynamic = None if shapes is None else {"row": shapes}
    with quietly(), _silent(SHAPES_LOGGER), redirect_stderr(io.StringIO()), torch.no_grad():
        return torch.export.export(flat, row, dynamic_shapes=dynamic, strict=False)


def _stored(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings that torch gives about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without what a logger has to say, but for errors."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
