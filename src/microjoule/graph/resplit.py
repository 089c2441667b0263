"""Parts that are joined and taken apart again, handed on as they are.

    split(cat(a, b), (|a|, |b|))  ==  a, b

also behind changes of shape and further concatenations, as detectors have it: boxes and scores of three sizes are
joined, flattened, joined over the sizes, and split into boxes and scores. Without it one grid would have to hold both.
"""

from typing import Any

import torch
from torch.fx import Node

from microjoule.graph.edit import Builder
from microjoule.graph.network import Network
from microjoule.graph.ops import arguments, aten, kind
from microjoule.graph.shapes import Shape

Known = dict[Node, tuple[Shape, torch.dtype]]
RESHAPES = (aten.view.default, aten.reshape.default)


def hand_parts_on(network: Network, known: Known) -> int:
    """Let readers of a part read it directly, in place; returns for how many parts.

    Args:
        network: the network.
        known: shape and type of each value, which gets those of new nodes.
    """
    done = 0
    for node in list(network.graph.nodes):
        taken = _taken(network, node, known)
        if taken is None:
            continue
        part = _Part(Builder(network, node, known), known).of(*taken)
        if part is not None:
            node.replace_all_uses_with(part)
            done += 1
    return done


def _taken(network: Network, node: Node, known: Known) -> tuple[Node, int, int, int] | None:
    """What a node is a part of, along which dimension, from where on, and of which size; None if it is no part."""
    found: tuple[Any, Any, Any] | None = None
    if kind(network.module, node) == "getitem":
        split, index = node.args
        if isinstance(split, Node) and isinstance(index, int) and kind(network.module, split) == "split":
            found = _of_split(split, index, known)
    elif node.target is aten.slice.Tensor:
        args = arguments(node)
        found = (args["self"], args["dim"], args["start"] or 0) if args["step"] == 1 else None
    elif node.target is aten.narrow.default:
        found = node.args[0], node.args[1], node.args[2]
    if found is None or node not in known or found[0] not in known:
        return None
    source, dim, start = found
    if not isinstance(start, int) or not isinstance(dim, int):
        return None
    shape = known[source][0]
    dim %= len(shape)
    return source, dim, start % shape[dim] if shape[dim] else 0, known[node][0][dim]


def _of_split(split: Node, index: int, known: Known) -> tuple[Any, Any, Any] | None:
    args = arguments(split)
    source, dim = args["self"], args.get("dim", 0)
    if source not in known:
        return None
    if split.target is aten.split_with_sizes.default:
        return source, dim, sum(args["split_sizes"][:index])
    if split.target is aten.split.Tensor:
        return source, dim, args["split_size"] * index
    if split.target is aten.chunk.default:
        return source, dim, -(-known[source][0][dim] // args["chunks"]) * index
    return None


class _Part:
    """Finds or makes the node that gives a part of a value."""

    def __init__(self, make: Builder, known: Known) -> None:
        self.make = make
        self.known = known

    def of(self, node: Node, dim: int, start: int, size: int) -> Node | None:
        """The part of a value along a dimension; None unless it goes back to whole parts of a concatenation."""
        name = kind(self.make.network.module, node)
        if node not in self.known:
            return None
        if name == "concat":
            return self._of_joined(node, dim, start, size)
        if name == "reshape":
            return self._of_reshaped(node, dim, start, size)
        if name == "transpose":
            return self._of_moved(node, dim, start, size)
        return None

    def _of_joined(self, node: Node, dim: int, start: int, size: int) -> Node | None:
        args = arguments(node)
        along, parts = args["dim"] % len(self.known[node][0]), list(args["tensors"])
        if along != dim:
            found = [self.of(part, dim, start, size) for part in parts]
            whole = [one for one in found if one is not None]
            return self._joined(node, whole, along, dim, size) if len(whole) == len(found) else None
        inside, at = [], 0
        for part in parts:
            length = self.known[part][0][dim]
            if start <= at and at + length <= start + size:
                inside.append(part)
            elif at <= start and start + size <= at + length:
                return self.of(part, dim, start - at, size)
            at += length
        if sum(self.known[part][0][dim] for part in inside) != size:
            return None
        return inside[0] if len(inside) == 1 else self._joined(node, inside, along, dim, size)

    def _joined(self, like: Node, parts: list[Node], along: int, dim: int, size: int) -> Node:
        return self._made(like, dim, size, aten.cat.default, parts, along)

    def _of_reshaped(self, node: Node, dim: int, start: int, size: int) -> Node | None:
        before = node.all_input_nodes[0]
        if before not in self.known or self.known[before][0][: dim + 1] != self.known[node][0][: dim + 1]:
            return None
        others: list[Any] = list(node.args[1:])
        if node.target in RESHAPES:
            shape = list(others[0])
            shape[dim] = size
            others[0] = shape
        elif node.target is not aten.flatten.using_ints or arguments(node)["start_dim"] <= dim:
            return None
        part = self.of(before, dim, start, size)
        return None if part is None else self._made(node, dim, size, node.target, part, *others)

    def _of_moved(self, node: Node, dim: int, start: int, size: int) -> Node | None:
        before, rank = node.all_input_nodes[0], len(self.known[node][0])
        order = list(range(rank))
        if node.target is aten.permute.default:
            order = [one % rank for one in arguments(node)["dims"]]
        elif node.target is aten.transpose.int:
            one, other = (arguments(node)[name] % rank for name in ("dim0", "dim1"))
            order[one], order[other] = other, one
        else:
            return None
        part = self.of(before, order[dim], start, size)
        return None if part is None else self._made(node, dim, size, node.target, part, *node.args[1:])

    def _made(self, like: Node, dim: int, size: int, target: Any, *args: Any) -> Node:
        made, (shape, dtype) = self.make(target, *args), self.known[like]
        self.known[made] = (*shape[:dim], size, *shape[dim + 1 :]), dtype
        return made
