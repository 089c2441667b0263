"""A network as an ONNX graph in floating point, with a mark wherever the network has a quantizer.

The marks are operators of a domain of our own. torch's exporter carries them along and optimizes nothing across them,
so that they can be replaced by integers afterwards, when everything around them is known.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule, Node

from microjoule.deploy.activation_bounds import Bounds, clamp_before, integer_bounds
from microjoule.deploy.flat import Interface, example_leaves, flatten, interface
from microjoule.deploy.lower import lower
from microjoule.errors import ExportError
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer

DOMAIN = "microjoule"
VALUE = "Value"
WEIGHT = "Weight"
OPSET = 21
"""The first opset with 16-bit integers in QuantizeLinear."""

TALKING = ("torch.onnx", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")
"""Loggers that say of a file on its way what matters to nobody."""


class Mark(nn.Module):
    """Stands where a quantizer stood.

    Args:
        what: VALUE or WEIGHT.
        name: of the value, or the path of the layer.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self.what = what
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """The same tensor, marked.

        Args:
            x: any shape.
        """
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{self.what}", [x], {"name": self.name}, dtype=x.dtype, shape=x.shape, version=1
        )


@dataclass(frozen=True, slots=True)
class Traced:
    """A marked graph.

    Args:
        model: the graph.
        interface: what goes in and comes out.
        bounds: for each quantized value the bounds of a clamp that was taken into its integers.
        replaced: the operators that the file has others for, since torch's exporter writes these otherwise.
    """

    model: ir.Model
    interface: Interface
    bounds: dict[str, Bounds | None]
    replaced: tuple[str, ...] = ()


def trace(network: Network, *, opset: int = OPSET) -> Traced:
    """The marked graph of a network.

    Args:
        network: with calibrated quantizers, or none.
        opset: of the operators.

    Raises:
        ExportError: for a quantizer without a range, an operator that ONNX has no words for, or an opset that torch
            does not write.
    """
    copy = network.copy().to("cpu").eval()
    _check_calibrated(copy)
    bounds = _absorb_clamps(copy)
    for layer in copy.layers:
        if layer.quantizer is not None:
            chain = layer.owner.get_submodule(f"parametrizations.{layer.weight_name}")
            assert isinstance(chain, nn.ModuleList)
            chain[0] = Mark(WEIGHT, layer.path)
    for name in copy.quantizers:
        set_submodule(copy.module, f"quantizers.{name}", Mark(VALUE, name))
    replaced = lower(copy)
    return Traced(*written(copy, opset=opset), bounds, replaced)


def written(network: Network, *, opset: int = OPSET) -> tuple[ir.Model, Interface]:
    """A network as torch's exporter writes it, which is edited in place to take and give tensors by position.

    Raises:
        ExportError: as `trace`.
    """
    found = interface(network)
    tensors = [leaf for leaf in example_leaves(network.example) if isinstance(leaf, Tensor)]
    module = flatten(network, found)
    model = _write(module, _program(module, tensors, dynamic=network.dynamic_batch), opset)
    for value, name in zip(model.graph.inputs, found.inputs, strict=True):
        value.name = name
    return model, found


def _check_calibrated(network: Network) -> None:
    missing = [name for name, quantizer in network.quantizers.items() if not quantizer.calibrated]
    missing += [
        layer.path for layer in network.layers if layer.quantizer is not None and not layer.quantizer.calibrated
    ]
    if missing:
        raise ExportError(
            ", ".join(missing[:5]),
            f"{len(missing)} quantizers have no range yet",
            remedy="calibrate the network first (mj.calibrate)",
        )


def _absorb_clamps(network: Network) -> dict[str, Bounds | None]:
    """Take every clamp that only a quantizer reads out of the graph."""
    found: dict[str, Bounds | None] = {}
    for node in list(network.graph.nodes):
        if kind(network.module, node) != "quantizer":
            continue
        name = str(node.target).removeprefix("quantizers.")
        quantizer = network.module.get_submodule(str(node.target))
        assert isinstance(quantizer, Quantizer)
        found[name] = None
        activation = clamp_before(network, node)
        if activation is not None and quantizer.affine.scale.dim() == 0:
            found[name] = integer_bounds(activation.low, activation.high, quantizer.affine)
            node.replace_input_with(node.all_input_nodes[0], node.all_input_nodes[0].args[0])
    network.recompile()
    return found


def _program(module: GraphModule, tensors: list[Tensor], *, dynamic: bool) -> ExportedProgram:
    shapes = None
    if dynamic:
        size = next(tensor.shape[0] for tensor in tensors if tensor.dim())
        shapes = tuple({0: Dim.AUTO} if t.dim() and t.shape[0] == size else None for t in tensors)
        tensors = [_widened(tensor) if size == 1 else tensor for tensor in tensors]
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(module, tuple(tensors), dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise _in_words(module, error) from error


def _widened(tensor: Tensor) -> Tensor:
    """Two samples where there is one: torch takes a size of 1 for a constant."""
    one = tensor.dim() > 0 and tensor.shape[0] == 1
    return tensor.repeat(2, *[1] * (tensor.dim() - 1)) if one else tensor


def _write(module: GraphModule, program: ExportedProgram, opset: int) -> ir.Model:
    try:
        with _quiet(), torch.no_grad():
            made = torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False)
    except Exception as error:
        raise _in_words(module, error) from error
    assert made is not None
    if made.model.opset_imports[""] != opset:
        raise ExportError(
            "network",
            f"has operators that cannot be written in opset {opset}",
            remedy=f"choose a target with a newer opset; {OPSET} is the default",
        )
    return made.model


# What went wrong ------------------------------------------------------------------------------------------------------

OPERATOR = re.compile(r"target=torch\.ops\.(\w+\.\w+\.\w+)|OpOverload\(op='([\w.]+)', overload='(\w+)'\)")
"""How torch's exporter tells which operator it has no words for."""


FRAME = re.compile(r'File "(.*)", line (\d+)')
TORCH = str(Path(torch.__file__).parent)


def _in_words(module: GraphModule, error: Exception) -> ExportError:
    """The operator at which torch's exporter stopped, where the user's code calls it, and why."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    operator = next((name for one in chain if (name := _operator(str(one)))), None)
    reason = next((said for one in reversed(chain) if (said := _reason(str(one)))), type(error).__name__)
    node = None if operator is None else _called(module, operator)
    place = operator or "network"
    if node is not None:
        place = f"{node.name} ({operator}{users_line(node)})"
    return ExportError(
        place,
        f"cannot be written as ONNX: {reason}",
        remedy="compute it by other operators, or write the network with network.save(path)",
    )


def _operator(text: str) -> str | None:
    found = OPERATOR.search(text)
    return None if found is None else found[1] or f"{found[2]}.{found[3]}"


def _reason(text: str) -> str:
    """The first line that says something of the model, and not of the exporter."""
    lines = (re.sub(r"\x1b\[\d*m", "", line).strip() for line in text.splitlines())
    said = next((line for line in lines if line and not line.startswith(("Failed to", "(Refer", "- ", "⬆"))), "")
    return "ONNX has no such operator" if said.startswith("No ONNX function found") else said[:300]


def _called(module: GraphModule, operator: str) -> Node | None:
    return next((node for node in module.graph.nodes if str(node.target) == operator), None)


def users_line(node: Node) -> str:
    """Where the user's code computes a node, with a comma and a space before it; empty if that is not known."""
    lines = [line.strip() for line in str(node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    found = [(FRAME.match(line), code) for line, code in zip(lines, [*lines, ""][1:], strict=True)]
    places = [(frame[1], frame[2], code) for frame, code in found if frame is not None]
    theirs = [place for place in places if not place[0].startswith(TORCH)] or places
    return f", {theirs[-1][0]}:{theirs[-1][1]} `{theirs[-1][2]}`" if theirs else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says about itself: its deprecated functions, and that torchvision is missing."""
    loggers = [logging.getLogger(name) for name in TALKING]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
