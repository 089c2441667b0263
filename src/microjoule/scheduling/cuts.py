"""The least that can be live, by one minimum cut.

Among the downsets D with low <= D <= high, f(D) is smallest where a network is cut: an edge of each value's size from
what starts it to what finishes it, and endless edges from each operator to what it needs.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from microjoule.scheduling.bits import ones
from microjoule.scheduling.memory import Extent, Memory

SOURCE, SINK = 0, 1

LARGEST_FLOW = 2**31 - 1
"""scipy's flows are int32: larger sizes are rounded down to a unit, so that the result stays a lower bound."""


@dataclass(slots=True)
class _Edges:
    """Of the network that is cut; nodes 0 and 1 are its ends."""

    nodes: int
    tails: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)

    def add(self, tail: int, head: int, size: int | None) -> None:
        """An edge; None is endless."""
        self.tails.append(tail)
        self.heads.append(head)
        self.sizes.append(size)

    def node(self) -> int:
        """One more node."""
        self.nodes += 1
        return self.nodes - 1


def least_live(memory: Memory, low: int, high: int, started: Collection[int] = ()) -> tuple[int, int]:
    """The fewest bytes that are live after any set of operators between two, and such a set.

    Args:
        memory: the tables.
        low: a downset.
        high: a downset that holds it.
        started: values that count as started in any case.

    Returns:
        The bytes, or a little less if they are more than 2^31 times the greatest common divisor of the sizes; the set.
    """
    between = list(ones(high & ~low))
    node_of = {operator: number for number, operator in enumerate(between, start=2)}
    edges, always = _Edges(len(between) + 2), 0
    for value, extent in enumerate(memory.extents):
        always += _add_value(edges, extent, (low, high), node_of, is_started=value in started)
    for operator in between:
        for needed in ones(memory.before[operator] & ~low):
            edges.add(node_of[operator], node_of[needed], None)
    if not any(size is not None for size in edges.sizes):
        return always, low
    flow, side = _cut(edges)
    return always + flow, low | sum(1 << between[node - 2] for node in side if 2 <= node < len(between) + 2)


def _add_value(
    edges: _Edges, extent: Extent, bounds: tuple[int, int], node_of: dict[int, int], *, is_started: bool
) -> int:
    """Add a value's edge; returns its size if it is live in any case, else 0."""
    low, high = bounds
    started = is_started or extent.from_start or bool(extent.starters & low)
    starters = 0 if started else extent.starters & high
    unfinished = extent.to_end or bool(extent.finishers & ~high)
    finishers = 0 if unfinished else extent.finishers & ~low
    if not (started or starters) or not (unfinished or finishers) or not extent.size:
        return 0
    if started and unfinished:
        return extent.size
    tail, head = SOURCE, SINK
    if not started:
        tail = edges.node()
        for operator in ones(starters):
            edges.add(node_of[operator], tail, None)
    if not unfinished:
        head = edges.node()
        for operator in ones(finishers):
            edges.add(head, node_of[operator], None)
    edges.add(tail, head, extent.size)
    return 0


def _cut(edges: _Edges) -> tuple[int, list[int]]:
    """The size of the smallest cut, rounded down where flows cannot hold it, and the nodes on the source's side."""
    finite = [size for size in edges.sizes if size is not None]
    unit = math.gcd(*finite)
    unit *= -(-(sum(finite) // unit + 1) // LARGEST_FLOW)
    endless = sum(size // unit for size in finite) + 1
    sizes = np.array([endless if size is None else size // unit for size in edges.sizes], dtype=np.int32)
    shape = (edges.nodes, edges.nodes)
    network = coo_matrix((sizes, (edges.tails, edges.heads)), shape=shape).tocsr()
    found = maximum_flow(network, SOURCE, SINK)
    left = network - found.flow
    left.eliminate_zeros()
    side = breadth_first_order(left, SOURCE, return_predecessors=False)
    return int(found.flow_value) * unit, [int(node) for node in side]
