"""A contraction of two tensors (einsum) as a product of matrices.

A label that both have and the result keeps counts samples, one that both have and the result drops is summed over, and
one that only one of them has is a row of the left or a column of the right matrix:

    "bqhd,bkhd->bhqk"      b, h: samples      d: summed over      q: rows      k: columns

Labels of a kind are flattened into one dimension where there are several.
"""

from typing import NamedTuple

from torch.fx import Node

from microjoule.graph.edit import Builder
from microjoule.graph.ops import aten


class Labels(NamedTuple):
    """The labels of a contraction by what they do; each in the order of the result, or of the left operand."""

    samples: str
    rows: str
    columns: str
    summed: str


def contraction(make: Builder) -> Node | None:
    """The nodes that stand in for an einsum, or None if it is no product of two matrices."""
    equation, given = make.node.args[:2]
    operands = [one for one in given if isinstance(one, Node)] if isinstance(given, list | tuple) else []
    if not isinstance(equation, str) or len(operands) != 2:
        return None
    shapes = [make.known[one][0] for one in operands]
    left, right, result = _spelled(equation.replace(" ", ""), *map(len, shapes))
    labels = find_labels(left, right, result)
    if labels is None:
        return None
    sizes = dict(zip(left + right, (*shapes[0], *shapes[1]), strict=True))
    a = _matrix(make, operands[0], left, (labels.samples, labels.rows, labels.summed))
    b = _matrix(make, operands[1], right, (labels.samples, labels.summed, labels.columns))
    product = make(aten.matmul.default, a, b)
    return _unfolded(make, product, labels, sizes, result)


def find_labels(left: str, right: str, result: str) -> Labels | None:
    """What each label of "left,right->result" does; None if it is no product of two matrices."""
    for term in (left, right, result):
        if len(set(term)) < len(term):
            return None  # a diagonal
    shared = set(left) & set(right)
    if set(left + right) - shared - set(result) or set(result) - set(left + right):
        return None  # summed over in one operand alone
    summed = "".join(label for label in left if label in shared and label not in result)
    rows = "".join(label for label in result if label in left and label not in shared)
    columns = "".join(label for label in result if label in right and label not in shared)
    return Labels("".join(label for label in result if label in shared), rows, columns, summed) if summed else None


def _spelled(equation: str, left_rank: int, right_rank: int) -> tuple[str, str, str]:
    """The three terms, with letters in place of "..." and of a result that is left out."""
    operands, arrow, result = equation.partition("->")
    left, right = operands.split(",")
    dots = max(rank - len(term.replace("...", "")) for term, rank in ((left, left_rank), (right, right_rank)))
    spare = "".join(chr(code) for code in range(0x3B1, 0x3B1 + dots))
    terms = [left, right]
    for index, (term, rank) in enumerate(zip(terms, (left_rank, right_rank), strict=True)):
        own = rank - len(term.replace("...", "")) if "..." in term else 0
        terms[index] = term.replace("...", spare[len(spare) - own :])
    if not arrow:
        once = sorted(label for label in {*terms[0], *terms[1]} if (terms[0] + terms[1]).count(label) == 1)
        shown = spare if "..." in operands else ""
        return terms[0], terms[1], shown + "".join(label for label in once if label not in shown)
    return terms[0], terms[1], result.replace("...", spare)


def _matrix(make: Builder, operand: Node, term: str, groups: tuple[str, str, str]) -> Node:
    """An operand with its labels in three groups, the last two a dimension each."""
    order = [term.index(label) for group in groups for label in group]
    moved = operand if order == sorted(order) else make(aten.permute.default, operand, order)
    at = len(groups[0])
    for group in groups[1:]:
        if len(group) > 1:
            moved = make(aten.flatten.using_ints, moved, at, at + len(group) - 1)
        elif not group:
            moved = make(aten.unsqueeze.default, moved, at)
        at += 1
    return moved


def _unfolded(make: Builder, product: Node, labels: Labels, sizes: dict[str, int], result: str) -> Node:
    """The product with its rows and columns as the result has them."""
    for group, dim in ((labels.columns, -1), (labels.rows, len(labels.samples))):
        if len(group) > 1:
            shape = [sizes[label] for label in group]
            free = shape.index(1) if 1 in shape else 0  # the dimension of samples, of which one was run
            shape[free] = -1
            product = make(aten.unflatten.int, product, dim, shape)
        elif not group:
            product = make(aten.squeeze.dim, product, dim)
    order = labels.samples + labels.rows + labels.columns
    return product if order == result else make(aten.permute.default, product, [order.index(one) for one in result])
