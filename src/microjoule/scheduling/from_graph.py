"""A network's computation, as far as its memory is concerned.

Each node that computes is an operator of the same name, and writes one value of that name. What shares memory is as
`microjoule.costs.buffers` says. Two kinds of nodes are left out: stored tensors take no memory here, and sizes are
numbers that are known before anything runs.
"""

from torch import Tag
from torch.fx import Node

from microjoule.costs.buffers import IN_PLACE, VIEWS, Buffers
from microjoule.errors import GraphError
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind
from microjoule.graph.shapes import aliases
from microjoule.scheduling.computation import Computation, Operator, Value

LEFT_OUT = frozenset({"output", "get_attr", "size"})
"""Nodes that are no operators."""

ELEMENTWISE = IN_PLACE | {"quantizer", "dropout"}
"""Operators that PyTorch could compute where their input lies."""


def computation_of(network: Network, *, simulated: bool = False) -> Computation:
    """The memory that a network takes for one sample, or for its own batch if that is fixed.

    Args:
        network: in evaluation: a dropout there passes values on.
        simulated: count what values take in PyTorch, and the memory that PyTorch's views share; else what they take as
            deployed, as wide as their quantizers, where all views share memory (`microjoule.costs.buffers`).

    Raises:
        GraphError: for an operator that changes what it reads: its place in the order has a meaning that is not known.
    """
    return _Reader(network, simulated=simulated).computation()


class _Reader:
    """Reads a graph node by node."""

    def __init__(self, network: Network, *, simulated: bool) -> None:
        self.network = network
        self.buffers = Buffers(network, simulated=simulated)
        self.aliases = aliases(network) if simulated else None
        self.kinds = {node: kind(network.module, node) for node in network.graph.nodes}
        self.nodes = [node for node in network.graph.nodes if self.kinds[node] not in LEFT_OUT]
        self.number = {node: index for index, node in enumerate(self.nodes)}
        self.needed = self._find_needed()
        self.drawn = [node for node in self.nodes if self._draws(node)]

    def computation(self) -> Computation:
        """All values and operators, in the order of the graph."""
        values = tuple(self._value(node) for node in self.nodes)
        operators = tuple(self._operator(node) for node in self.nodes if node.op != "placeholder")
        return Computation("network", values, operators)

    def _value(self, node: Node) -> Value:
        wanted = any(user.op == "output" for user in node.users)
        return Value(node.name, self.buffers.size_bytes(node), is_input=node.op == "placeholder", is_output=wanted)

    def _operator(self, node: Node) -> Operator:
        inputs = tuple(self.number[one] for one in (*self._reads(node), *self._waits_for(node)))
        view, place = self._is_view(node), self._place(node)
        return Operator(
            name=node.name,
            inputs=inputs,
            outputs=(self.number[node],),
            inplace=None if view or place is None else self.number[place],
            is_view=view,
            kind=self._word(node),
        )

    def _reads(self, node: Node) -> list[Node]:
        return [one for one in node.all_input_nodes if one in self.number]

    def _lies_on(self, node: Node) -> bool:
        """Whether a node's output lies, as deployed, where its input lies."""
        return self.buffers.root[node] is not node

    def _is_view(self, node: Node) -> bool:
        if self.aliases is not None:
            return node in self.aliases
        return self._lies_on(node) and self.kinds[node] in VIEWS

    def _place(self, node: Node) -> Node | None:
        """The value that an operator may overwrite by its output."""
        if not self._lies_on(node) or self.kinds[node] not in ELEMENTWISE:
            return None
        source = self._reads(node)[0]
        return source if self.buffers.size_bytes(node) <= self.buffers.size_bytes(source) else None

    def _word(self, node: Node) -> str:
        layer = Layer.at(self.network.module, node)
        return "depthwise" if layer is not None and layer.depthwise else self.kinds[node] or ""

    # What has to come first, though its value is not read ---------------------

    def _waits_for(self, node: Node) -> list[Node]:
        """Values of which only the size is read and that are not needed anyhow; random numbers that are drawn before.

        They are taken as read: that may keep them for longer than needed, and the order is right in any case.
        """
        drawn = self.drawn.index(node) if node in self.drawn else 0
        waits = [*self._measured(node), *self.drawn[:drawn][-1:]]
        reads = self._reads(node)
        return [one for one in dict.fromkeys(waits) if one not in reads]

    def _measured(self, node: Node) -> list[Node]:
        needed = set().union(*(self.needed[one] | {one} for one in self._reads(node)))
        found = {one for size in self._sizes(node) for one in self._reads(size)}
        return sorted((one for one in found - needed if one.op != "placeholder"), key=self.number.__getitem__)

    def _sizes(self, node: Node) -> list[Node]:
        """The nodes of sizes that a node reads, and those that these are computed from."""
        found: list[Node] = []
        waiting = [node]
        while waiting:
            news = [one for one in waiting.pop().all_input_nodes if self.kinds[one] == "size" and one not in found]
            found += news
            waiting += news
        return found

    def _find_needed(self) -> dict[Node, set[Node]]:
        """For each node all that it is computed from."""
        needed: dict[Node, set[Node]] = {}
        for node in self.nodes:
            needed[node] = set().union(*(needed[one] | {one} for one in self._reads(node)))
        return needed

    def _draws(self, node: Node) -> bool:
        """Whether an operator that is not on the written list draws random numbers.

        Raises:
            GraphError: if it changes what it reads.
        """
        if node.op != "call_function" or self.kinds[node] is not None:
            return False
        schema = getattr(node.target, "_schema", None)
        if schema is None or schema.is_mutable:
            fact = f"computes {node.target}, which may change what it reads"
            raise GraphError(node.name, fact, remedy="write the model without it; its place in an order is not free")
        return Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
