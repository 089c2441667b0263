"""Where quantizers stand: the target's rules, applied to a network.

A value gets a quantizer if an operator that runs in integer makes it or reads it, with these exceptions:

- a layer or an addition followed by an activation that fuses into it: the activation's output is quantized instead;
- an operator that passes its input's scale through (pooling by maximum, reshaping): its output is on the grid already;
- an operator whose inputs and output share one scale (concatenation, on some targets): one quantizer for all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch.fx import Node

from microjoule.costs.target import Target
from microjoule.graph.network import Network
from microjoule.graph.ops import WEIGHTED, Layer, fill_value, kind, tensor_inputs
from microjoule.graph.shapes import typed_shapes
from microjoule.graph.walk import only_user

MAKES_NOTHING = ("output", "get_attr", "size", "constant")


@dataclass(frozen=True, slots=True)
class Place:
    """A value to be quantized.

    Args:
        node: what gives the value.
        layer: the path of the layer that makes it, if a layer does (an activation after it included).
        shares: the first of the values that it shares a scale with, or itself.
    """

    node: Node
    layer: str | None
    shares: Node


def find_places(network: Network, target: Target, excluded: frozenset[str] = frozenset()) -> list[Place]:
    """Every value that gets a quantizer, in the order of the network.

    Args:
        network: a network without activation quantizers.
        target: whose rules hold.
        excluded: layers (by path) that stay in floating point; values that only they touch stay so, too.
    """
    floats = {node for node, (_, dtype) in typed_shapes(network).items() if dtype.is_floating_point}
    rules = _Rules(network, target, excluded)
    chosen = [node for node in network.graph.nodes if node in floats and rules.is_quantized(node)]
    shares = {node: node for node in chosen}
    for node in network.graph.nodes:
        if kind(network.module, node) in target.sharing:
            together = [other for other in (*map(rules.root, tensor_inputs(node)), rules.root(node)) if other in shares]
            first = shares[together[0]] if together else node
            joined = {shares[other] for other in together}
            shares |= {other: first for other, head in shares.items() if head in joined}
    return [Place(node, rules.maker(node), shares[node]) for node in chosen]


class _Rules:
    """A target's rules, asked of one network."""

    def __init__(self, network: Network, target: Target, excluded: frozenset[str]) -> None:
        self.network = network
        self.target = target
        self.excluded = excluded

    def is_quantized(self, node: Node) -> bool:
        """Whether a quantizer stands on a value."""
        name = kind(self.network.module, node)
        if name in MAKES_NOTHING or self._passes(node):
            return False
        if self._fuses_into_next(node) is not None:
            return False
        made_in_integer = self._in_integer(self._before_fused(node))
        return made_in_integer or any(self._in_integer(user) for user in self._readers(node))

    def maker(self, node: Node) -> str | None:
        """The path of the layer that makes a value, through an activation that fuses into it."""
        layer = Layer.at(self.network.module, self._before_fused(node))
        return layer.path if layer is not None else None

    def root(self, node: Node) -> Node:
        """The value whose scale a node has: itself, or the input that it passes through."""
        while self._passes(node):
            node = node.all_input_nodes[0]
        return node

    def _passes(self, node: Node) -> bool:
        """Whether a node's values are on the grid of its input: a padding by another number than 0 is not."""
        return kind(self.network.module, node) in self.target.passing and fill_value(node) == 0

    def _in_integer(self, node: Node) -> bool:
        name = kind(self.network.module, node)
        if name not in self.target.integer:
            return False
        if name not in WEIGHTED:
            return True
        layer = Layer.at(self.network.module, node)
        return layer is not None and layer.path not in self.excluded

    def _fuses_into_next(self, node: Node) -> Node | None:
        """The activation that fuses into a node, if one does."""
        user = only_user(node)
        if user is None or kind(self.network.module, node) not in self.target.fusing or not self._in_integer(node):
            return None
        return user if kind(self.network.module, user) in self.target.fused else None

    def _before_fused(self, node: Node) -> Node:
        """The layer or addition that an activation fuses into, or the node itself."""
        if kind(self.network.module, node) in self.target.fused and tensor_inputs(node):
            before = tensor_inputs(node)[0]
            if self._fuses_into_next(before) is node:
                return before
        return node

    def _readers(self, node: Node) -> Iterator[Node]:
        """Who reads a value, operators that pass its scale looked through."""
        for user in node.users:
            if self._passes(user):
                yield from self._readers(user)
            else:
                yield user
