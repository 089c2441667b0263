"""A PyTorch module to a Network: torch.export, then lift, canonicalize, and verify against the source."""

import inspect
import io
import logging
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from microjoule.capture.canonical import ASSERTIONS, NO_OPS, canonicalize
from microjoule.capture.describe import described
from microjoule.capture.lift import lift
from microjoule.capture.modules import DROPOUTS, LIFTED
from microjoule.errors import CaptureError
from microjoule.graph.card import ModelCard
from microjoule.graph.network import Example, Network, copied
from microjoule.graph.ops import kind
from microjoule.records.facts import Captured, Skipped

SHAPES_LOGGER = "torch.fx.experimental.symbolic_shapes"
"""What torch calls the logger that warns of shapes that depend on values."""

LARGEST_RELATIVE_DIFFERENCE = 1e-6
"""What replacing an operator by an equal one may cost in float32; untouched operators differ by 0.0."""


def capture(
    module: nn.Module,
    example_inputs: Any,
    example_kwargs: dict[str, Any] | None = None,
    *,
    card: ModelCard | None = None,
) -> Network:
    """Capture a module, as it is, in evaluation mode; the module itself is left alone.

    Args:
        module: any module that torch.export can trace.
        example_inputs: a tensor, or a tuple of positional inputs; tensors may be nested in tuples, lists and dicts.
        example_kwargs: inputs by keyword.
        card: what is known of the model beside its code: the range of its inputs, their preprocessing, the names of its
            classes. It goes before what the module says of itself (its `model_card`, or its library's configuration).

    Returns:
        The network; its batch is dynamic where the module allows it. It shares the module's parameters' values,
        not their storage.

    Raises:
        CaptureError: if the module cannot be traced (the message names the line of the user's code), or if the
            network's outputs differ from the module's.
    """
    started = time.perf_counter()
    args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    example = Example(args, example_kwargs or {})
    _check_example(module, example)
    with _evaluating(module):
        expected = _run(module, example)
        program = _export(module, example)
    network = verified(program, example, expected, source=type(module).__name__, started=started)
    network.card = described(module, card)
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
    with quietly():
        network, functional = network_of(program, example)
        difference = _difference(network, expected, source)
    network.history.append(
        Captured(
            source=source,
            operators=dict(Counter(filter(None, (kind(network.module, n) for n in network.graph.nodes)))),
            functional_layers=tuple(functional),
            unknown_operators=unknown_operators(network.module),
            largest_difference=difference,
            dynamic_batch=network.dynamic_batch,
            seconds=time.perf_counter() - started,
            replaced=replaced_operators(program, network.module) if difference else (),
        )
    )
    return network


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


def replaced_operators(program: ExportedProgram, module: GraphModule) -> tuple[str, ...]:
    """The operators of a program that the network computes by others (or by a module that calls another kernel)."""
    kept = {node.target for node in module.graph.nodes} | set(ASSERTIONS) | set(NO_OPS) | set(LIFTED) | set(DROPOUTS)
    used = {node.target for node in program.graph.nodes if node.op == "call_function"}
    return tuple(sorted(str(target) for target in used - kept))


def network_of(program: ExportedProgram, example: Example) -> tuple[Network, list[Skipped]]:
    """Lift and canonicalize an exported program; also says which operators with weights stayed functional, and why."""
    batch = any(
        isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None
        for node in program.graph.nodes
        if node.op == "placeholder" and isinstance(node.meta.get("val"), Tensor)
        for size in node.meta["val"].shape[:1]
    )
    module, functional = lift(canonicalize(program.module(check_guards=False)), program)
    # A copy, because the program's tensors are those of the user's model.
    network = Network(copied(module), example, dynamic_batch=batch).eval()
    network.recompile()
    return network, functional


def unknown_operators(module: GraphModule) -> tuple[str, ...]:
    """The operators of a graph that are not on the written list, which techniques therefore leave alone."""
    return tuple(sorted({str(node.target) for node in module.graph.nodes if kind(module, node) is None}))


def _check_example(module: nn.Module, example: Example) -> None:
    if not isinstance(module, nn.Module):
        raise CaptureError(type(module).__name__, "is no nn.Module", remedy="pass the model itself, with its weights")
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise CaptureError(name, "holds NaN or infinite values", remedy="load weights that are whole")
    for name, buffer in module.named_buffers():  # an attention mask may well hold infinities
        if torch.isnan(buffer).any():
            raise CaptureError(name, "holds NaN", remedy="load statistics that are whole")
    if not example.tensors:
        raise CaptureError("example_inputs", "hold no tensor", remedy="pass inputs as the model takes them")
    for tensor in example.tensors:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CaptureError("example_inputs", "hold NaN or infinite values", remedy="pass ordinary inputs")


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each submodule's own mode again afterwards."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, training in modes:
            submodule.training = training


def _run(module: nn.Module, example: Example) -> Any:
    """The model's outputs; what it writes into its inputs and buffers is undone."""
    fused_attention = torch.backends.mha.get_fastpath_enabled()
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    torch.backends.mha.set_fastpath_enabled(False)  # another kernel than the operators that torch.export sees
    try:
        with torch.no_grad():
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, (example.args, example.kwargs))
            return module(*args, **kwargs)
    except Exception as error:
        raise CaptureError(
            users_line(error),
            f"the model does not run on the example inputs: {first_line(error)}",
            remedy="pass inputs of the shapes and types that the model takes",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_attention)
        for buffer, before in buffers:
            buffer.data = before


def _export(module: nn.Module, example: Example) -> ExportedProgram:
    """Export with a dynamic batch, or with the example's own shapes where the model does not allow that."""
    try:
        widened = _widened(example)
        return _export_quietly(module, widened, _dynamic_shapes(module, widened))
    except Exception:
        try:
            return _export_quietly(module, example, None)
        except Exception as error:
            raise CaptureError(
                users_line(error),
                f"torch.export cannot trace it: {first_line(error)}",
                remedy="let no control flow depend on values (torch.where), or capture the part before that line",
            ) from error


def _export_quietly(module: nn.Module, example: Example, dynamic_shapes: Any) -> ExportedProgram:
    """Export; the graph that torch prints and the warnings that it logs on failure are left to our error."""
    with quietly(), _silent(SHAPES_LOGGER), redirect_stderr(io.StringIO()), torch.no_grad():
        return torch.export.export(module, example.args, example.kwargs, dynamic_shapes=dynamic_shapes, strict=False)


def _batch_size(example: Example) -> int | None:
    sizes = [tensor.shape[0] for tensor in example.tensors if tensor.dim() > 0]
    return sizes[0] if sizes else None


def _widened(example: Example) -> Example:
    """The example with two samples where it has one: torch.export takes a size of 1 for a constant."""
    if _batch_size(example) != 1:
        return example

    def widen(tensor: Tensor) -> Tensor:
        return tensor.repeat(2, *[1] * (tensor.dim() - 1)) if tensor.dim() > 0 and tensor.shape[0] == 1 else tensor

    args, kwargs = pytree.tree_map_only(Tensor, widen, (example.args, example.kwargs))
    return Example(args, kwargs)


def _dynamic_shapes(module: nn.Module, example: Example) -> dict[str, Any]:
    """The first dimension of every tensor that has the batch's size there is dynamic."""
    size = _batch_size(example)

    def spec(leaf: Any) -> dict[int, Any] | None:
        return {0: Dim.AUTO} if isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == size else None

    bound = inspect.signature(module.forward).bind(*example.args, **example.kwargs).arguments
    return {name: pytree.tree_map(spec, value) for name, value in bound.items()}


def _difference(network: Network, expected: Any, source: str) -> float:
    """The largest difference between a network's outputs and the expected ones, relative to the largest of these.

    Raises:
        CaptureError: if it is more than replacing an operator may cost.
    """
    with torch.no_grad():
        got = network(*network.example.args, **network.example.kwargs)
    pairs = zip(pytree.tree_leaves(got), pytree.tree_leaves(expected), strict=True)
    difference = max((relative_difference(a, b) for a, b in pairs if isinstance(b, Tensor)), default=0.0)
    if not difference <= LARGEST_RELATIVE_DIFFERENCE:
        raise CaptureError(
            source,
            f"the captured network's output differs from the model's by {difference:.3g} of its largest value",
            remedy="a model must give the same output for the same input in evaluation mode; look for random numbers",
        )
    return difference


def relative_difference(value: Tensor, reference: Tensor) -> float:
    """The largest absolute difference over the largest absolute reference; 0.0 only for equal tensors.

    Args:
        value: any shape.
        reference: the same shape.
    """
    if value.shape != reference.shape:
        return float("inf")
    if reference.numel() == 0 or torch.equal(value, reference):
        return 0.0
    largest = reference.double().abs().max().item()
    return (value.double() - reference.double()).abs().max().item() / (largest or 1.0)


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def users_line(error: BaseException) -> str:
    """File and line of the user's code at which an error arose: the last frame outside torch and microjoule."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
    chain: BaseException | None = error
    found = "the model"
    while chain is not None:
        for frame in traceback.extract_tb(chain.__traceback__):
            if not frame.filename.startswith((*ours, "<")) and "contextlib" not in frame.filename:
                found = f"{frame.filename}:{frame.lineno} ({(frame.line or '').strip()})"
        if found != "the model":
            return found
        chain = chain.__cause__ or chain.__context__
    return found
