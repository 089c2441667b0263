"""Which values of a network share memory, how wide they are, and when they live.

One buffer holds all values that a runtime would keep in one place:

- a view (reshape, transpose, slice, split, an expansion that repeats nothing) and a quantizer lie on what they read;
- an operator on each value by itself (activation, batch norm, dropout in evaluation) writes over its input, if nobody
  else reads that and it is not the caller's.

A buffer is as wide as the quantizer on it; one without a quantizer keeps the width of its inputs where values are only
moved (pooling by maximum, padding, concatenation), and the width of its type where they are computed.
"""

from math import prod

from torch.fx import Node

from microjoule.costs.operations import Lifetime, Shape, packed_bytes
from microjoule.graph.network import Network
from microjoule.graph.ops import kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.shapes import typed_shapes

VIEWS = frozenset({"quantizer", "reshape", "transpose", "slice", "split", "expand", "identity", "dropout", "getitem"})
"""Operators that give what they read, seen in another way."""

IN_PLACE = frozenset(
    {
        "batch_norm",
        "relu",
        "relu6",
        "clamp",
        "leaky_relu",
        "prelu",
        "sigmoid",
        "hardsigmoid",
        "hardswish",
        "silu",
        "gelu",
        "tanh",
        "elu",
        "mish",
        "softplus",
        "exp",
        "sqrt",
        "rsqrt",
        "pow",
        "neg",
    }
)
"""Operators whose output can lie where their input lay."""

MOVING = frozenset({"max_pool", "flip", "pad", "pixel_shuffle", "upsample_nearest", "concat", "stack"}) | VIEWS
"""Operators that compute no new values, so that the width of their inputs is enough."""

NOTHING = frozenset({"output", "get_attr", "size"})
"""Nodes that make no activation: what they give is stored, or is a number."""


class Buffers:
    """The buffers of a network, each named by the first node that writes into it (its root).

    Args:
        network: any network.
        simulated: whether values are as wide as their types in PyTorch, whatever quantizer stands on them.
    """

    def __init__(self, network: Network, *, simulated: bool = False) -> None:
        self.network = network
        self.simulated = simulated
        self.values = typed_shapes(network)
        self.root: dict[Node, Node] = {}
        for node in network.graph.nodes:
            if kind(network.module, node) not in NOTHING:
                under = self._under(node)
                self.root[node] = node if under is None else self.root.get(under, node)
        self._quantizers = {} if simulated else self._find_quantizers()
        self._bits: dict[Node, int] = {}
        for node in self.root:
            if self.root[node] is node:
                self._bits[node] = self._width(node)

    @property
    def roots(self) -> list[Node]:
        """One node a buffer, in the order of the network."""
        return list(self._bits)

    def shape(self, node: Node) -> Shape:
        """The shape of a value; of an operator that gives several tensors, that of the first that is read."""
        if node in self.values:
            return self.values[node][0]
        parts = self._parts(node)
        return self.values[parts[0]][0] if parts else ()

    def bits(self, node: Node) -> int:
        """The width of a value; of a stored tensor, that of its type."""
        if self.simulated or node not in self.root:
            return self._type_bits(node)
        return self._bits[self.root[node]]

    def floating(self, node: Node) -> bool:
        """Whether a value is a floating-point number and not an integer."""
        shares = self.root.get(node, node)
        return shares not in self._quantizers and (node not in self.values or self.values[node][1].is_floating_point)

    def size_bytes(self, node: Node) -> int:
        """What a value takes; an operator that gives several tensors, all of those that are read."""
        values = [node] if node in self.values else self._parts(node)
        return sum(packed_bytes(prod(self.values[one][0]), self.bits(one)) for one in values)

    def lifetimes(self) -> list[Lifetime]:
        """From the node that writes a buffer (the start, for inputs) to the last that reads any value in it."""
        step = {node: index for index, node in enumerate(self.network.graph.nodes)}
        last = {root: step[root] for root in self.roots}
        for node, root in self.root.items():
            last[root] = max([last[root], *(step[user] for user in node.users)])
        first = {root: 0 if root.op == "placeholder" else step[root] for root in self.roots}
        return [Lifetime(self.size_bytes(root), first[root], last[root]) for root in self.roots]

    def _under(self, node: Node) -> Node | None:
        """The value that a node's output lies on, or None if it needs a buffer of its own."""
        name, inputs = kind(self.network.module, node), tensor_inputs(node)
        if not inputs or inputs[0] not in self.root:
            return None
        source = inputs[0]
        if name == "getitem":
            return source
        if name in VIEWS and prod(self.shape(node)) <= prod(self.shape(source)):
            return source
        mine = len(source.users) == 1 and self.root[source].op != "placeholder"
        return source if name in IN_PLACE and mine and not self._is_read_elsewhere(source) else None

    def _is_read_elsewhere(self, node: Node) -> bool:
        """Whether another value in the same buffer has readers that are not on the way to this one."""
        root = self.root[node]
        while node is not root:
            node = tensor_inputs(node)[0]
            if len(node.users) > 1:
                return True
        return False

    def _parts(self, node: Node) -> list[Node]:
        """The tensors that are read of an operator's several outputs."""
        found = []
        for user in node.users:
            if kind(self.network.module, user) == "getitem":
                found += [user] if user in self.values else self._parts(user)
        return found

    def _find_quantizers(self) -> dict[Node, int]:
        """For each buffer with quantizers that are at work, the narrowest one's bits."""
        found: dict[Node, int] = {}
        for node, root in self.root.items():
            if kind(self.network.module, node) == "quantizer":
                quantizer = self.network.module.get_submodule(str(node.target))
                assert isinstance(quantizer, Quantizer)
                if quantizer.enabled:
                    found[root] = min(found.get(root, quantizer.scheme.grid.bits), quantizer.scheme.grid.bits)
        for root in dict.fromkeys(self.root.values()):
            moved = [self.root[one] for one in tensor_inputs(root) if one in self.root]
            if root not in found and kind(self.network.module, root) in MOVING and moved and set(moved) <= set(found):
                found[root] = max(found[one] for one in moved)
        return found

    def _width(self, root: Node) -> int:
        return self._quantizers.get(root) or self._type_bits(root)

    def _type_bits(self, node: Node) -> int:
        parts = [node] if node in self.values else self._parts(node)
        return self.values[parts[0]][1].itemsize * 8 if parts else 0
