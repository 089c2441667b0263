"""A network's computation, as far as its memory is concerned.

Each node that computes is an operator of the same name, and writes one value of that name. What shares memory is as
`microjoule.costs.buffers` says. Two kinds of nodes are left out: stored tensors take no memory here, and sizes are
numbers that are known before anything runs.
"""

from collections.abc import Iterator

from torch import Tag
from torch.fx import Node

from microjoule.costs.buffers import IN_PLACE, VIEWS, Buffers
from microjoule.errors import GraphError, SettingError
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind
from microjoule.graph.shapes import aliases
from microjoule.graph.sums import Sum, find_sums
from microjoule.scheduling.computation import Computation, Operator, Value

LEFT_OUT = frozenset({"output", "get_attr", "size"})
"""Nodes that are no operators."""

ELEMENTWISE = IN_PLACE | {"quantizer", "dropout"}
"""Operators that PyTorch could compute where their input lies."""


def computation_of(network: Network, *, simulated: bool = False, accumulates: bool = False) -> Computation:
    """The memory that a network takes for one sample, or for its own batch if that is fixed.

    Args:
        network: in evaluation: a dropout there passes values on.
        simulated: count what values take in PyTorch, and the memory that PyTorch's views share; else what they take as
            deployed, as wide as their quantizers, where all views share memory (`microjoule.costs.buffers`).
        accumulates: assume a runtime whose convolutions can add to what lies in memory: a convolution that an add alone
            reads writes into the sum. Several that are added may do so in any order.

    Raises:
        GraphError: for an operator that changes what it reads: its place in the order has a meaning that is not known.
        SettingError: for both settings at once.
    """
    if simulated and accumulates:
        fact = "is asked for together with simulated=True, but PyTorch computes a convolution and an add one by one"
        raise SettingError("accumulates", fact, remedy="ask for one of them")
    return _Reader(network, simulated=simulated, accumulates=accumulates).computation()


def accumulated_sums(network: Network, buffers: Buffers | None = None) -> list[Sum]:
    """The sums that `computation_of` takes as accumulated: those in floating point.

    One on a grid of integers would need wider values while it is added up than it has.

    Args:
        network: any network.
        buffers: of the network, as deployed, if they are known.
    """
    known = buffers or Buffers(network)
    found = find_sums(network)
    return [one for one in found if known.floating(one.total) and (one.start is None or one.start in known.root)]


class _Reader:
    """Reads a graph node by node."""

    def __init__(self, network: Network, *, simulated: bool, accumulates: bool) -> None:
        self.network = network
        self.buffers = Buffers(network, simulated=simulated)
        self.aliases = aliases(network) if simulated else None
        self.kinds = {node: kind(network.module, node) for node in network.graph.nodes}
        self.nodes = [node for node in network.graph.nodes if self.kinds[node] not in LEFT_OUT]
        sums = accumulated_sums(network, self.buffers) if accumulates else []
        self.sum_of = {node: one for one in sums for node in (*one.terms, *one.adds)}
        self.written = [node for node in self.nodes if self._total(node) is node]
        index = {node: number for number, node in enumerate(self.written)}
        self.number = {node: index[self._total(node)] for node in self.nodes}
        self.needed = self._find_needed()
        self.drawn = [node for node in self.nodes if self._draws(node)]

    def computation(self) -> Computation:
        """All values and operators, in the order of the graph."""
        values = tuple(self._value(node) for node in self.written)
        operators = tuple(self._operator(node) for node in self._running())
        return Computation("network", values, operators)

    def _total(self, node: Node) -> Node:
        """The node whose value a node writes: its own, or that of the sum that it is part of."""
        return self.sum_of[node].total if node in self.sum_of else node

    def _running(self) -> Iterator[Node]:
        """The nodes that are operators; a convolution that is added to another value runs when that is there."""
        for node in self.nodes:
            found = self.sum_of.get(node)
            if found is None:
                if node.op != "placeholder":
                    yield node
            elif found.start is None and node in found.terms:
                yield node
            elif found.start is not None and node is found.total:
                yield found.terms[0]

    def _value(self, node: Node) -> Value:
        wanted = any(user.op == "output" for user in node.users)
        return Value(node.name, self.buffers.size_bytes(node), is_input=node.op == "placeholder", is_output=wanted)

    def _operator(self, node: Node) -> Operator:
        found = self.sum_of.get(node)
        start = [] if found is None or found.start is None else [found.start]
        inputs = tuple(dict.fromkeys(self.number[one] for one in (*self._reads(node), *start, *self._waits_for(node))))
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
        if node in self.sum_of:
            return self._start_place(node, self.sum_of[node])
        if not self._lies_on(node) or self.kinds[node] not in ELEMENTWISE:
            return None
        source = self._reads(node)[0]
        return source if self.buffers.size_bytes(node) <= self.buffers.size_bytes(source) else None

    def _start_place(self, term: Node, found: Sum) -> Node | None:
        """What a convolution is added to, if the sum may lie there: it is not the caller's, and not what it reads."""
        start, root = found.start, self.buffers.root
        if start is None or self._is_view(start) or root[start].op == "placeholder":
            return None
        reads = {root[one] for one in self._reads(term)}
        fits = self.buffers.size_bytes(found.total) <= self.buffers.size_bytes(start)
        return start if fits and root[start] not in reads else None

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
