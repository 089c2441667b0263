"""Numbers in a graph that count channels: sizes of reshapes, bounds of slices, parts of splits, padding, groups.

They are read off the labels: what an operator reads and gives has so many places left along its axis of channels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.channels import axis_classes, channel_axis_of
from microjoule.graph.label_trace import Trace
from microjoule.graph.labels import Value
from microjoule.graph.ops import arguments, aten

Arguments = dict[str, Any]
"""By the names of the operator's schema."""


class Left:
    """What is left of the values of a network when classes of labels are removed.

    Args:
        trace: of the network.
        removed: numbers of classes.
    """

    def __init__(self, trace: Trace, removed: Sequence[int]) -> None:
        self.trace = trace
        self._removed = torch.tensor(list(removed), dtype=torch.int64)

    def places(self, value: Value) -> Tensor:
        """(size,): for each place along the axis of channels, whether it stays; (1,) if all are one class."""
        return ~torch.isin(axis_classes(self.trace, value), self._removed)

    def axis(self, value: Value) -> int | None:
        """The axis that becomes shorter, if one does."""
        return None if bool(self.places(value).all()) else channel_axis_of(self.trace, value)

    def size(self, value: Value, axis: int) -> int:
        """How long an axis becomes."""
        return int(self.places(value).sum()) if axis == self.axis(value) else value.shape[axis]

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape that a value becomes."""
        return tuple(self.size(value, axis) for axis in range(len(value.shape)))


def smaller_arguments(left: Left, node: Node) -> tuple[Any, Arguments] | None:
    """The operator and arguments that a node needs for smaller values, or None if it may stay as it is."""
    rule = _NUMBERS.get(node.target)
    if rule is None:
        return None
    source = left.trace.values[node.args[0]]  # type: ignore[index]
    given = left.trace.values[node]
    changed = [value for value in [source, *(given if isinstance(given, list) else [given])] if _shrinks(left, value)]
    return rule(left, node, arguments(node)) if changed else None


def _shrinks(left: Left, value: Any) -> bool:
    return isinstance(value, Value) and left.axis(value) is not None


def _sizes(name: str) -> Callable[[Left, Node, Arguments], tuple[Any, Arguments]]:
    """A list of sizes, one for each axis of the output."""

    def rule(left: Left, node: Node, args: Arguments) -> tuple[Any, Arguments]:
        value = left.trace.values[node]
        after = left.shape(value)
        first = args["dim"] % len(left.trace.values[args["self"]].shape) if "dim" in args else 0
        sizes = []
        for axis, size in enumerate(args[name], start=first):
            same = size == -1 or after[axis] == value.shape[axis]
            sizes.append(size if same else -1 if isinstance(size, Node) else after[axis])
        return node.target, {**args, name: sizes}

    return rule


def _slice(left: Left, node: Node, args: Arguments) -> tuple[Any, Arguments]:
    value = left.trace.values[args["self"]]
    axis = args["dim"] % len(value.shape)
    if axis != left.axis(value):
        return node.target, args
    stays, length = left.places(value), value.shape[axis]
    if node.target is aten.narrow.default:
        start, end = args["start"] % length, args["start"] % length + args["length"]
    else:
        start, end, _ = slice(args["start"], args["end"]).indices(length)
    before, taken = int(stays[:start].sum()), int(stays[start:end].sum())
    if node.target is aten.narrow.default:
        return node.target, {**args, "start": before, "length": taken}
    return node.target, {**args, "start": before, "end": before + taken}


def _split(left: Left, node: Node, args: Arguments) -> tuple[Any, Arguments]:
    value = left.trace.values[args["self"]]
    axis = args["dim"] % len(value.shape)
    if axis != left.axis(value):
        return node.target, args
    bounds = torch.tensor([part.shape[axis] for part in left.trace.values[node]]).cumsum(0)
    sizes = [int(part.sum()) for part in left.places(value).tensor_split(bounds[:-1])]
    return aten.split_with_sizes.default, {"self": args["self"], "split_sizes": sizes, "dim": args["dim"]}


def _pad(left: Left, node: Node, args: Arguments) -> tuple[Any, Arguments]:
    value, source = left.trace.values[node], left.trace.values[args["self"]]
    axis, sides = left.axis(value), list(args["pad"])
    at = 2 * (len(value.shape) - 1 - axis) if axis is not None else len(sides)
    if axis is None or at >= len(sides):
        return node.target, args
    stays, inner = left.places(value), source.shape[axis]
    sides[at] = int(stays[: sides[at]].sum())
    sides[at + 1] = int(stays[args["pad"][at] + inner :].sum())
    return node.target, {**args, "pad": sides}


_NUMBERS: dict[Any, Callable[[Left, Node, Arguments], tuple[Any, Arguments]]] = {
    aten.reshape.default: _sizes("shape"),
    aten.unflatten.int: _sizes("sizes"),
    aten.expand.default: _sizes("size"),
    aten.slice.Tensor: _slice,
    aten.narrow.default: _slice,
    **dict.fromkeys((aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default), _split),
    **dict.fromkeys((aten.constant_pad_nd.default, aten.pad.default), _pad),
}
"""Operators that hold numbers of channels."""
