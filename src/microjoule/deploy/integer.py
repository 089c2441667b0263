"""A quantized network run with integers alone, bit by bit as a target would: the reference for deployment.

Weights and activations are integers of their grids, sums have 32 bits, and between two grids stands a fixed-point
multiplication (see `fixed_point`). It is made to be exact and not fast. What it has no integer form for, it names.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.deploy.integer_operators import OPERATORS, Step
from microjoule.deploy.integer_values import ACCUMULATOR_BITS, Added, Integers, Joined, Sums
from microjoule.errors import ExportError
from microjoule.execution.run import misfit
from microjoule.graph.geometry import pads_with_zeros
from microjoule.graph.network import Network
from microjoule.graph.ops import WEIGHTED, Layer, arguments, kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import PASSING

VALUES = (Integers, Sums, Added, Joined)
TABLES = frozenset(name for name, run in OPERATORS.items() if run is OPERATORS["sigmoid"])
CLAMPS = frozenset(("relu", "relu6", "clamp"))


class IntegerRunner:
    """Runs a network's integers.

    Args:
        network: with calibrated quantizers; it is copied, so later edits do not matter.
        accumulator_bits: of a sum.

    Raises:
        ExportError: if the network has operators without an integer form; the message names all of them.
    """

    def __init__(self, network: Network, *, accumulator_bits: int = ACCUMULATOR_BITS) -> None:
        missing = unsupported(network)
        if missing:
            raise ExportError(
                "integer runner",
                f"has no integer form for {'; '.join(missing)}",
                remedy="verify in ONNX Runtime instead, or quantize what these read and give",
            )
        self.network = network.copy().to("cpu").eval()
        self.accumulator_bits = accumulator_bits

    def __call__(self, *inputs: Any) -> Any:
        """The network's outputs, in real numbers, computed with integers from the first quantizer to the last.

        Raises:
            ExportError: if a sum needs more bits than the accumulator has.
            DataError: if the inputs do not fit.
        """
        return pytree.tree_map_only(VALUES, lambda value: value.reals(), self._run(inputs, None))

    def integers(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
        """The integers of every quantized value by its name, and the first output.

        Raises:
            ExportError, DataError: as a call.
        """
        found: dict[str, Tensor] = {}

        def look(node: Node, value: Any) -> None:
            if isinstance(value, Integers) and str(node.target).startswith("quantizers."):
                found[str(node.target).removeprefix("quantizers.")] = value.stored

        outputs = pytree.tree_leaves(self._run(inputs, look), is_leaf=lambda v: isinstance(v, VALUES))
        first = outputs[0]
        return found, first if isinstance(first, Tensor) else first.reals()

    def _run(self, inputs: tuple[Any, ...], look: Callable[[Node, Any], None] | None) -> Any:
        moved = pytree.tree_map_only(Tensor, lambda t: t.cpu(), inputs)
        try:
            with torch.no_grad():
                return _Run(self, look).run(*self.network.bind(*moved))
        except (RuntimeError, TypeError, ValueError) as error:
            raise misfit(self.network, moved, error) from error


class _Run(Interpreter):
    """One pass."""

    def __init__(self, runner: IntegerRunner, look: Callable[[Node, Any], None] | None) -> None:
        super().__init__(runner.network.module, garbage_collect_values=True)
        self.extra_traceback = False  # an error of ours says where it is
        self.network = runner.network
        self.bits = runner.accumulator_bits
        self.look = look

    def run_node(self, n: Node) -> Any:
        """Compute one node on integers."""
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        name = kind(self.network.module, n)
        value = OPERATORS[str(name)](Step(self.network, n, self.env.__getitem__))
        if isinstance(value, Sums):
            self._check(n, value.total)
        if self.look is not None:
            self.look(n, value)
        return value

    def _check(self, node: Node, total: Tensor) -> None:
        low, high = (int(end) for end in torch.aminmax(total))
        largest = max(-low, high)
        if largest >= 2 ** (self.bits - 1):
            layer = Layer.at(self.network.module, node)
            raise ExportError(
                layer.path if layer is not None else node.name,
                f"a sum of {largest:.4g} does not fit into {self.bits} bits",
                remedy="give its weights or its inputs fewer bits",
            )


# What it runs -------------------------------------------------------------------------------------------------------


def unsupported(network: Network) -> list[str]:
    """What the integer runner has no integer form for: each node's operator and why; empty if it runs everything."""
    kinds: dict[Node, str] = {}
    problems = []
    for node in network.graph.nodes:
        reason = _reason(network, node, kinds)
        if reason is not None:
            problems.append(f"{_place(network, node)} ({reason})")
        kinds[node] = _gives(network, node, kinds)
    return problems


def _place(network: Network, node: Node) -> str:
    layer = Layer.at(network.module, node)
    return layer.path if layer is not None else node.name


def _gives(network: Network, node: Node, kinds: dict[Node, str]) -> str:
    """What a node's value is: "integers", "sums", "reals" or "size"."""
    name = kind(network.module, node)
    if name == "quantizer":
        return "integers"
    if name in PASSING or name in CLAMPS:
        return next((kinds[read] for read in tensor_inputs(node)), "reals")
    if name in TABLES or node.op in ("placeholder", "get_attr") or name not in OPERATORS:
        return "reals"
    return "size" if name == "size" else "sums"


def _reason(network: Network, node: Node, kinds: dict[Node, str]) -> str | None:
    """Why a node cannot be run, or None if it can."""
    name = kind(network.module, node)
    if node.op in ("placeholder", "get_attr", "output") or name == "size":
        return None
    if name not in OPERATORS:
        return f"{name or node.target} is none of its operators"
    return _quantizer_reason(network, node) if name == "quantizer" else _operator_reason(network, node, kinds)


def _operator_reason(network: Network, node: Node, kinds: dict[Node, str]) -> str | None:
    name = kind(network.module, node)
    allowed = ("integers", "sums") if name in CLAMPS else ("integers",)
    reads = tensor_inputs(node)
    if any(kinds[read] not in allowed for read in reads):
        return f"{name} reads a value without a quantizer"
    if name in WEIGHTED:
        return _layer_reason(network, node)
    if name in ("add", "mul") and (
        len(node.args) < 2 or len(reads) != len(node.args) or arguments(node).get("alpha", 1) != 1
    ):
        return f"{name} of something other than two quantized values"
    return None


def _quantizer_reason(network: Network, node: Node) -> str | None:
    found = network.module.get_submodule(str(node.target))
    assert isinstance(found, Quantizer)
    if not found.calibrated:
        return "its quantizer has no range yet"
    return "its scale differs from channel to channel" if found.affine.scale.dim() else None


def _layer_reason(network: Network, node: Node) -> str | None:
    layer = Layer.at(network.module, node)
    if layer is None:
        return "its weight is computed, not stored"
    if layer.quantizer is None:
        return "its weight has no quantizer"
    return None if pads_with_zeros(layer) else "it does not pad with zeros"
