"""Products with a constant matrix as linear layers: `x @ W`, `torch.addmm(b, x, W)`, `einsum("bsd,hdk->bshk", x, W)`.

Each is y = x W' + b with W' and b that no input reaches, and becomes the operator that says so. W' is W in another
layout, which is folded like any constant. A product from the left, W @ x with x of three dimensions, is a convolution
of width 1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from microjoule.capture.constants import constants, name_of
from microjoule.graph.ops import arguments

aten = torch.ops.aten

TRANSPOSES = ("aten::t", "aten::numpy_T", "aten::mT", "aten::transpose", "aten::permute")


class _Writer:
    """Puts operators before a node, with what is known of their values."""

    def __init__(self, module: GraphModule, node: Node) -> None:
        self.graph = module.graph
        self.node = node

    def call(self, target: Any, *args: Any) -> Node:
        """One operator."""
        with self.graph.inserting_before(self.node):
            made = self.graph.call_function(target, args)
        made.meta = dict(self.node.meta)
        values = torch.fx.node.map_arg(args, lambda one: one.meta["val"])
        made.meta["val"] = target(*values)
        return made

    def finish(self, result: Node) -> None:
        """Let everyone who read the node read another."""
        result.meta = dict(self.node.meta)
        self.node.replace_all_uses_with(result)
        self.graph.erase_node(self.node)


def write_linear_maps(module: GraphModule) -> None:
    """Write every product with a constant matrix as a linear layer, in place."""
    known = constants(module)
    for node in list(module.graph.nodes):
        rule = RULES.get(node.target) if node.op == "call_function" and node not in known else None
        if rule is not None:
            made = rule(_Writer(module, node), arguments(node), known)
            if made is not None:
                made[0].finish(made[1])


_Made = tuple[_Writer, Node] | None
_Rule = Callable[[_Writer, dict[str, Any], set[Node]], _Made]


def _is_matrix(value: Any, known: set[Node]) -> bool:
    return isinstance(value, Node) and value in known and isinstance(_value(value), Tensor) and _value(value).dim() == 2


def _value(node: Any) -> Any:
    return node.meta.get("val")


def _is_input(value: Any, known: set[Node]) -> bool:
    return isinstance(value, Node) and value not in known and isinstance(_value(value), Tensor)


def _transposed(write: _Writer, matrix: Node) -> Node:
    """A matrix the other way round; of one that is turned already, what it was turned from."""
    before = matrix.all_input_nodes[0] if matrix.all_input_nodes else None
    turned = name_of(matrix) in TRANSPOSES and before is not None and _value(before).dim() == 2
    if turned and before is not None and _value(before).shape != _value(matrix).shape:
        return before
    return write.call(aten.t.default, matrix)


def _matmul(write: _Writer, args: dict[str, Any], known: set[Node]) -> _Made:
    first, second = (args[name] for name in args)
    if _is_input(first, known) and _is_matrix(second, known):
        return write, write.call(aten.linear.default, first, _transposed(write, second))
    if _is_matrix(first, known) and _is_input(second, known) and _value(second).dim() == 3:
        return write, write.call(aten.conv1d.default, second, write.call(aten.unsqueeze.default, first, 2))
    return None


def _mv(write: _Writer, args: dict[str, Any], known: set[Node]) -> _Made:
    if _is_matrix(args["self"], known) and _is_input(args["vec"], known):
        return write, write.call(aten.linear.default, args["vec"], args["self"])
    return None


def _addmm(write: _Writer, args: dict[str, Any], known: set[Node]) -> _Made:
    added, first, second = args["self"], args["mat1"], args["mat2"]
    if not (_is_input(first, known) and _is_matrix(second, known)):
        return None
    weight = _times(write, _transposed(write, second), args["alpha"])
    if args["beta"] == 0:  # what is added is not looked at, be it NaN
        return write, write.call(aten.linear.default, first, weight)
    scaled = _times(write, added, args["beta"])
    if added in known and _value(added).shape == _value(weight).shape[:1]:
        return write, write.call(aten.linear.default, first, weight, scaled)
    return write, write.call(aten.add.Tensor, write.call(aten.linear.default, first, weight), scaled)


def _times(write: _Writer, value: Node, factor: float) -> Node:
    return value if factor == 1 else write.call(aten.mul.Tensor, value, factor)


def _einsum(write: _Writer, args: dict[str, Any], known: set[Node]) -> _Made:
    tensors = args["tensors"]
    if len(tensors) != 2 or args["path"] is not None or not all(isinstance(one, Node) for one in tensors):
        return None
    labels = _labels(args["equation"], [_value(one).dim() for one in tensors])
    if labels is None:
        return None
    *sides, out = labels
    at = 0 if _is_input(tensors[0], known) else 1
    x, weight = tensors[at], tensors[1 - at]
    return _contracted(write, (x, weight), (sides[at], sides[1 - at], out), known)


def _tensordot(write: _Writer, args: dict[str, Any], known: set[Node]) -> _Made:
    x, weight = args["self"], args["other"]
    if not (isinstance(x, Node) and isinstance(weight, Node)):
        return None
    ours = [chr(97 + i) for i in range(_value(x).dim())]
    theirs = [chr(65 + i) for i in range(_value(weight).dim())]
    for one, two in zip(args["dims_self"], args["dims_other"], strict=True):
        theirs[two] = ours[one]
    shared = set(ours) & set(theirs)
    out = [one for one in (*ours, *theirs) if one not in shared]
    return _contracted(write, (x, weight), (ours, theirs, out), known)


def _labels(equation: str, dims: Sequence[int]) -> list[list[str]] | None:
    """The labels of two operands and the result; an ellipsis counts as labels of its own. None for sums and traces."""
    equation = equation.replace(" ", "")
    before, arrow, after = equation.partition("->")
    operands = before.split(",")
    if not arrow or len(operands) != 2:
        return None
    more = max(dim - len(one.replace("...", "")) for one, dim in zip(operands, dims, strict=True))
    found = []
    for one, dim in zip((*operands, after), (*dims, None), strict=True):
        count = more if dim is None else dim - len(one.replace("...", ""))
        dots = [f".{index}" for index in range(more - count, more)] if "..." in one else []
        start, _, end = one.partition("...")
        found.append([*start, *dots, *end])
    return found if all(len(set(one)) == len(one) for one in found) else None


def _contracted(
    write: _Writer, operands: tuple[Node, Node], labels: tuple[list[str], list[str], list[str]], known: set[Node]
) -> _Made:
    """Sum over the labels that both have and the result lacks: labels first that stay, then those that are summed."""
    (x, weight), (ours, theirs, out) = operands, labels
    if not (_is_input(x, known) and weight in known):
        return None
    summed = [one for one in ours if one in theirs and one not in out]
    stay, new = [one for one in ours if one not in theirs], [one for one in theirs if one not in ours]
    if not summed or not new or not stay or sorted(out) != sorted(stay + new) or len(summed + new) != len(theirs):
        return None
    sizes = {one: _value(weight).shape[index] for index, one in enumerate(theirs)}
    matrix = _laid(write, weight, theirs, [*new, *summed])
    if len(new) > 1:
        matrix = write.call(aten.flatten.using_ints, matrix, 0, len(new) - 1)
    if len(summed) > 1:
        matrix = write.call(aten.flatten.using_ints, matrix, 1, -1)
    rows = _laid(write, x, ours, [*stay, *summed])
    if len(summed) > 1:
        rows = write.call(aten.flatten.using_ints, rows, len(stay), -1)
    result = write.call(aten.linear.default, rows, matrix)
    if len(new) > 1:
        result = write.call(aten.unflatten.int, result, -1, [sizes[one] for one in new])
    return write, _laid(write, result, [*stay, *new], out)


def _laid(write: _Writer, node: Node, labels: list[str], wanted: list[str]) -> Node:
    """A tensor with its dimensions in another order."""
    if labels == wanted:
        return node
    if len(labels) == 2:
        return _transposed(write, node)
    return write.call(aten.permute.default, node, [labels.index(one) for one in wanted])


RULES: dict[Any, _Rule] = {
    aten.matmul.default: _matmul,
    aten.mm.default: _matmul,
    aten.mv.default: _mv,
    aten.addmm.default: _addmm,
    aten.einsum.default: _einsum,
    aten.tensordot.default: _tensordot,
}
"""Products, and how each is written as a linear layer."""
