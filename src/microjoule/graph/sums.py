"""Sums of convolutions' outputs, which a runtime can add up in one place if its kernels add to what lies there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import arguments, kind
from microjoule.graph.shapes import Shape, typed_shapes


@dataclass(frozen=True, slots=True)
class Sum:
    """Convolutions whose outputs nobody reads but the adds that sum them up.

    Args:
        terms: the convolutions, in the order of the graph.
        adds: in the order of the graph; the last gives the sum.
        start: what one convolution is added to; None if there are several, and any of them can be the first.
    """

    terms: tuple[Node, ...]
    adds: tuple[Node, ...]
    start: Node | None

    @property
    def total(self) -> Node:
        """The node that gives the sum."""
        return self.adds[-1]


def find_sums(network: Network) -> list[Sum]:
    """Every sum of at least two convolutions, as large as it can be, and every other value that one is added to.

    Operands of an add count if they have the sum's shape and type: nothing is broadcast, scaled or converted.
    """
    types = typed_shapes(network)
    number = {node: index for index, node in enumerate(network.graph.nodes)}
    found: dict[Node, Sum] = {}
    for node in network.graph.nodes:
        operands = _operands(network, node, types)
        if operands is None:
            continue
        left, right = operands
        match _part(network, left, found), _part(network, right, found):
            case Sum() as first, Sum() as second:
                terms = sorted((*first.terms, *second.terms), key=number.__getitem__)
                adds = sorted((*first.adds, *second.adds), key=number.__getitem__)
                found.pop(left, None)
                found.pop(right, None)
                found[node] = Sum(tuple(terms), (*adds, node), None)
            case Sum(terms=(term,)), None:
                found[node] = Sum((term,), (node,), right)
            case None, Sum(terms=(term,)):
                found[node] = Sum((term,), (node,), left)
    return list(found.values())


def relink(found: Sum, terms: Sequence[Node]) -> None:
    """Add the terms of a sum in another order, in place: its nodes read others, and have to be moved behind them.

    Args:
        found: without a start.
        terms: those of the sum, in the order in which they are to be added.
    """
    before = terms[0]
    for add, term in zip(found.adds, terms[1:], strict=True):
        add.args, add.kwargs = (before, term), {}
        before = add


def _operands(
    network: Network, node: Node, types: Mapping[Node, tuple[Shape, torch.dtype]]
) -> tuple[Node, Node] | None:
    """The two values of a plain add."""
    if kind(network.module, node) != "add":
        return None
    match arguments(node):
        case {"self": Node() as left, "other": Node() as right, "alpha": 1} if left is not right:
            alike = types.get(left) == types.get(right) == types.get(node)
            return (left, right) if alike else None
    return None


def _part(network: Network, operand: Node, found: Mapping[Node, Sum]) -> Sum | None:
    """An operand of an add as a sum that can be added up where the add's own sum lies."""
    if len(operand.users) > 1:
        return None
    if kind(network.module, operand) == "conv":
        return Sum((operand,), (), None)
    inner = found.get(operand)
    return inner if inner is not None and inner.start is None else None
