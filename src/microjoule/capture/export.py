"""A PyTorch module to a Network: torch.export, then lift, canonicalize, and compare with the source."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from microjoule.capture.agree import Found, Reference, agreed, changing
from microjoule.capture.build import built
from microjoule.capture.compare import LARGEST_RELATIVE_DIFFERENCE, difference
from microjoule.capture.describe import described
from microjoule.capture.guards import contract_of_program
from microjoule.capture.signature import Call, call_of, output_of, program_call
from microjoule.capture.source import Source, accepted, as_it_was, cause, device_of, first_line, users_line
from microjoule.capture.trace import Axes, NotFreeError, NotTracedError, batch_axes, quietly, traced
from microjoule.errors import CaptureError, MicrojouleError
from microjoule.graph.card import ModelCard
from microjoule.graph.nest import filled
from microjoule.graph.network import Example, Network
from microjoule.graph.ops import kind
from microjoule.records.facts import Captured

Dims = Mapping[str, Sequence[int]]
"""An input's name -> its dimensions."""


def capture(
    module: nn.Module,
    example_inputs: Any,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    batch_axis: int = 0,
    dynamic: Dims | Sequence[int] | None = None,
    card: ModelCard | None = None,
) -> Network:
    """Capture a module, as it is, in evaluation mode; the module itself is left alone.

    The network takes what the example is: its inputs by place or name, of the example's shapes but for the batch,
    which is free where the module allows it, and for what `dynamic` names; and it refuses the rest. Model and network
    are compared on the example and on batches of other sizes. It computes in float32, whatever the module does; what no
    input reaches is computed once and stored. The record, `network.history[0]`, says what was done.

    Args:
        module: any module that torch.export can trace.
        example_inputs: a tensor, or a tuple of positional inputs; tensors may be nested in tuples, lists, dicts and
            dataclasses.
        example_kwargs: inputs by keyword.
        batch_axis: the dimension of the inputs that counts samples.
        dynamic: further dimensions that are free, by the input's name: {"x": (2, 3)} for images of any size, or (2, 3)
            where there is one input. A nested tensor's name is the path to it, "pair.rest.0".
        card: what is known of the model beside its code: the range of its inputs, their preprocessing, the names of its
            classes. It goes before what the module says of itself (its `model_card`, or its library's configuration).

    Returns:
        The network. It shares the module's parameters' values, not their storage.

    Raises:
        CaptureError: if the module cannot be traced (the message names the line of the user's code), if a dimension of
            `dynamic` cannot be free, or if the network's outputs differ from the module's.
    """
    started = time.perf_counter()
    model = accepted(module)
    args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    call = call_of(model, args, example_kwargs or {}, device=device_of(model))
    asked = _asked(call, dynamic if isinstance(dynamic, Mapping) else dict.fromkeys(call.names[:1], dynamic or ()))
    with as_it_was(model):
        source = Source(model, call)
        reference = Reference(type(model).__name__, source, _expected(source, call.row), call.row)
        found, fixed = _captured(model, call, reference, asked, batch_axis)
    network = _recorded(found, reference.name, started, fixed)
    network.card = described(model, card)
    return network


def verified(program: ExportedProgram, example: Example, expected: Any, *, source: str, started: float) -> Network:
    """Make a network of an exported program, check that it gives what is expected, and record how it was made.

    Args:
        program: what torch.export gave.
        example: inputs.
        expected: what the source gives for them, nested as the source nests it.
        source: the source's name.
        started: when the capture began, by `time.perf_counter`.

    Raises:
        CaptureError: if the network's outputs differ by more than replacing an operator may cost.
    """
    call = program_call(program, example.args, example.kwargs)
    nest, outputs = output_of(expected)
    try:
        contract = contract_of_program(program, call.parameters, call.names, batch_axis=0, wrapped=False)
    except ValueError as error:
        remedy = "export the model without dynamic_shapes, or capture it with mj.capture"
        raise CaptureError(source, f"holds only under a condition on {error}", remedy=remedy) from error
    reference = Reference(source, Source(program.module(check_guards=False), call), filled(nest, outputs), call.row)
    with quietly():
        made = built(program, nest, contract, call.example(call.row), wrapped=False)
        try:
            found = agreed(made, reference, contract.sizes_of(call.row))
            fixed = "" if contract.dynamic_batch else "the program was exported for it"
        except NotFreeError as error:
            made = built(program, nest, contract.fixed_batch(call.row), call.example(call.row), wrapped=False)
            found, fixed = agreed(made, reference, {}), str(error)
    return _recorded(found, source, started, fixed)


def _recorded(found: Found, source: str, started: float, fixed: str) -> Network:
    """The network, with the record of how it was made."""
    made, network = found.built, found.built.network
    network.history.append(
        Captured(
            source=source,
            operators=dict(Counter(filter(None, (kind(network.module, n) for n in network.graph.nodes)))),
            functional_layers=made.functional,
            unknown_operators=unknown_operators(network.module),
            largest_difference=found.largest,
            dynamic_batch=network.dynamic_batch,
            seconds=time.perf_counter() - started,
            replaced=made.replaced if found.largest else (),
            batches_compared=found.batches,
            batch_fixed=fixed,
            converted_from=tuple(str(one).removeprefix("torch.") for one in made.types),
            folded=made.folded,
            unfolded=made.unfolded,
            moved=dict(made.moved),
        )
    )
    return network


def unknown_operators(module: GraphModule) -> tuple[str, ...]:
    """The operators of a graph that are not on the written list, which techniques therefore leave alone."""
    return tuple(sorted({str(node.target) for node in module.graph.nodes if kind(module, node) is None}))


def _asked(call: Call, dynamic: Dims) -> Axes:
    """For each tensor the dimensions that are to be free."""
    for name in dynamic:
        if name not in call.names:
            raise CaptureError(
                f"dynamic[{name!r}]", "is no tensor among the inputs", remedy=f"choose from: {', '.join(call.names)}"
            )
    asked = []
    for name, tensor in zip(call.names, call.row, strict=True):
        axes = frozenset(dynamic.get(name, ()))
        for axis in axes:
            if not 0 <= axis < tensor.dim():
                fact = f"names dimension {axis} of a tensor of shape {tuple(tensor.shape)}"
                raise CaptureError(f"dynamic[{name!r}]", fact, remedy="count dimensions from 0")
        asked.append(axes)
    return tuple(asked)


def _expected(source: Source, row: Sequence[Tensor]) -> Any:
    """The model's outputs for the example, the same each time."""
    try:
        expected, again = source(row), source(row)
    except MicrojouleError:
        raise
    except Exception as error:
        raise CaptureError(
            users_line(error),
            f"the model does not run on the example inputs: {first_line(error)}",
            remedy="pass inputs of the shapes and types that the model takes",
        ) from error
    differs = difference(again, expected)
    if not differs <= LARGEST_RELATIVE_DIFFERENCE:
        raise changing(type(source.model).__name__, f"the model's output differs by {differs:.3g} at a second call")
    return expected


def _captured(model: nn.Module, call: Call, reference: Reference, asked: Axes, axis: int) -> tuple[Found, str]:
    """The network with a free batch, or, where that is not right, with the example's, and why."""
    reasons: list[str] = []
    for free in batch_axes(call.row, axis):
        axes = tuple(one | two for one, two in zip(free, asked, strict=True))
        try:
            return _attempt(model, call, reference, axes, axis), ""
        except (NotFreeError, NotTracedError) as error:
            reasons.append(str(error))
        except CaptureError as error:  # what a fixed batch gives counts
            reasons.append(error.fact)
    try:
        return _attempt(model, call, reference, asked, axis), reasons[0] if reasons else "no input has samples"
    except NotFreeError as error:
        raise CaptureError("dynamic", str(error), remedy="capture without that dimension") from error
    except NotTracedError as error:
        reason = error.__cause__ or error
        raise CaptureError(
            users_line(reason),
            f"torch.export cannot trace it: {cause(reason)}",
            remedy="let no control flow depend on values (torch.where), or capture the part before that line",
        ) from reason


def _attempt(model: nn.Module, call: Call, reference: Reference, axes: Axes, axis: int) -> Found:
    """A network with some dimensions free that agrees with its source.

    Raises:
        NotFreeError: if they cannot be free.
        CaptureError: if it differs for the example itself.
    """
    trace = traced(model, call, axes, batch_axis=axis)
    with quietly():
        made = built(trace.program, trace.nest, trace.contract, call.example(call.row), wrapped=True)
        return agreed(made, reference, trace.sizes)
