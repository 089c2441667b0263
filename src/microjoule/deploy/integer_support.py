"""Which nodes of a network have an integer form, and which come after the last quantizer and need none."""

from torch.fx import Node

from microjoule.deploy.integer_operators import FUNCTIONS, OPERATORS, is_on_grid
from microjoule.graph.geometry import pads_with_zeros
from microjoule.graph.network import Network
from microjoule.graph.ops import WEIGHTED, Activation, Layer, arguments, aten, fill_value, kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import PASSING, grid_under

CLAMPS = frozenset(("relu", "relu6", "clamp"))
OWN_TENSORS = CLAMPS | PASSING | set(WEIGHTED) | {"prelu"}
"""Operators that may read stored tensors as they are: weights, bounds, slopes, indices."""


def unsupported(network: Network) -> list[str]:
    """What the integer runner has no integer form for: each node's operator and why; empty if it runs everything."""
    ends = after_the_last_quantizer(network)
    kinds: dict[Node, str] = {}
    problems = []
    for node in network.graph.nodes:
        reason = None if node in ends else _reason(network, node, kinds)
        if reason is not None:
            problems.append(f"{_place(network, node)} ({reason})")
        kinds[node] = "reals" if node in ends else _gives(network, node, kinds)
    return problems


def after_the_last_quantizer(network: Network) -> set[Node]:
    """Operators without an integer form that are computed in real numbers, as what comes out is on no grid anyway.

    All that they read comes through quantizers, no layer is among them, and no quantizer or layer reads what they give.
    """
    module, nodes = network.module, list(network.graph.nodes)
    through: dict[Node, bool] = {}
    for node in nodes:
        reads = [through[read] for read in node.all_input_nodes]
        quantized = kind(module, node) == "quantizer" or node.op == "get_attr"
        through[node] = quantized or (node.op != "placeholder" and bool(reads) and all(reads))
    inner: set[Node] = set()
    for node in reversed(nodes):
        computes = kind(module, node) in ("quantizer", *WEIGHTED)
        if computes or any(user in inner for user in node.users):
            inner.add(node)
    kinds: dict[Node, str] = {}
    ends: set[Node] = set()
    for node in nodes:
        free = node.op in ("call_function", "call_module") and node not in inner and through[node]
        if free and (_reason(network, node, kinds) is not None):
            ends.add(node)
        kinds[node] = "reals" if node in ends else _gives(network, node, kinds)
    return ends


def _place(network: Network, node: Node) -> str:
    layer = Layer.at(network.module, node)
    return layer.path if layer is not None else node.name


def _gives(network: Network, node: Node, kinds: dict[Node, str]) -> str:
    """What a node's value is: "integers", "sums" (which wait for a grid), "reals" or "size"."""
    name = kind(network.module, node)
    if name == "quantizer":
        return "integers"
    if name in PASSING and _waits(network, node):
        return "sums"
    if name in PASSING or name in CLAMPS:
        return next((kinds[read] for read in tensor_inputs(node)), "reals")
    if name in FUNCTIONS or node.op in ("placeholder", "get_attr") or name not in OPERATORS:
        return "reals"
    return "size" if name == "size" else "sums"


def _waits(network: Network, node: Node) -> bool:
    """Whether an operator brings in a number that is not on the grid of what it reads."""
    grid = grid_under(network, node.all_input_nodes[0]) if fill_value(node) != 0 else None
    return grid is not None and grid.calibrated and not is_on_grid(fill_value(node), grid.affine)


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
    if not reads or any(kinds[read] not in allowed for read in reads):
        return f"{name} reads a value without a quantizer"
    if name in WEIGHTED:
        return _layer_reason(network, node)
    if name in CLAMPS:
        return None if Activation.at(network.module, node) is not None else "its bounds are computed"
    if name not in OWN_TENSORS and len(node.all_input_nodes) != len(reads):
        return f"{name} reads a stored tensor or a size without a quantizer"
    return _arithmetic_reason(node) if name in ("div", "matmul") else None


def _arithmetic_reason(node: Node) -> str | None:
    if node.target is aten.div.Tensor and not isinstance(arguments(node)["other"], Node):
        return None
    if node.target in (aten.matmul.default, aten.bmm.default):
        return None
    return f"{node.target} has no form for two quantized values"


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
