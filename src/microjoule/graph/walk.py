"""Finding one's way in a graph: who reads a value, and which layers follow which."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, fill_value, kind, module_at
from microjoule.graph.quantizer import Quantizer

PASSING = frozenset(
    (
        *("max_pool", "reshape", "transpose", "expand", "slice", "split", "getitem"),
        *("pad", "flip", "pixel_shuffle", "dropout", "identity", "upsample_nearest"),
    )
)
"""Operators whose output holds values of their input alone (or 0, which every grid has): it needs no rounding."""


def keeps_grid(network: Network, node: Node) -> bool:
    """Whether all values of a node are those of its input, or 0."""
    return kind(network.module, node) in PASSING and fill_value(node) == 0


def calls(network: Network, path: str) -> list[Node]:
    """The nodes that call the module at a path."""
    return [node for node in network.graph.nodes if node.op == "call_module" and node.target == path]


def uses(network: Network, stored: Tensor) -> list[Node]:
    """The nodes that use a stored tensor: that read it, or call a module that owns it.

    Args:
        network: the network.
        stored: a parameter of the network, any shape.
    """
    found = []
    for node in network.graph.nodes:
        if node.op == "get_attr" and node.users:
            held = [_as_stored(network, str(node.target))]
        else:
            called = module_at(network.module, node)
            held = [] if called is None else list(called.parameters())
        if any(tensor is stored for tensor in held):
            found.append(node)
    return found


def stored_tensor(network: Network, node: Node) -> Tensor:
    """The tensor that a node reads from the network's store, without the quantizer that may be on it."""
    return _as_stored(network, str(node.target))


def _as_stored(network: Network, path: str) -> Tensor:
    above, _, name = path.rpartition(".")
    owner = network.module.get_submodule(above)
    quantized: Any = getattr(owner, "parametrizations", {})
    stored: Tensor = quantized[name].original if name in quantized else getattr(owner, name)
    return stored


def is_private(network: Network, layer: Layer) -> bool:
    """Whether exactly one node uses a layer's weights and bias, so that changing them changes nothing else."""
    stored = (layer.stored_weight, layer.bias)
    return all(len(uses(network, tensor)) == 1 for tensor in stored if tensor is not None)


def only_user(node: Node) -> Node | None:
    """The one node that reads a value, or None if there are none or several."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def through_quantizers(network: Network, node: Node) -> Node:
    """The value under any quantizers that stand on it."""
    while node.op == "call_module" and kind(network.module, node) == "quantizer":
        node = node.all_input_nodes[0]
    return node


def readers(network: Network, node: Node) -> Iterator[Node]:
    """The nodes that read a value, quantizers looked through."""
    for user in node.users:
        if kind(network.module, user) == "quantizer":
            yield from readers(network, user)
        else:
            yield user


def quantized(network: Network, node: Node) -> Node:
    """The quantizer on a value, or the value itself if it has none."""
    return next((user for user in node.users if kind(network.module, user) == "quantizer"), node)


def grid_under(network: Network, node: Node) -> Quantizer | None:
    """The quantizer whose grid a value lies on: its own, or that of the value it was passed on from."""
    while keeps_grid(network, node):
        node = node.all_input_nodes[0]
    module = module_at(network.module, node)
    return module if isinstance(module, Quantizer) else None
