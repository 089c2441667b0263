"""What operators that are no layers do to labels of channels: move them, tie them, need all of them, or fix them.

An operator that only moves values is run on the labels themselves. Each rule has the signature of `Rule`.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.graph.labels import Labels, Value, compact
from microjoule.graph.ops import arguments, aten
from microjoule.graph.shapes import Shape

Rule = Callable[[Labels, Node, dict[str, Any], Shape], Any]
"""(labels, node, its arguments by name with `Value` for tensors and int for sizes, shape that it gives) -> Value(s)"""

# Operators that move values -------------------------------------------------------------------------------------------


def move(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Run the operator on the labels."""
    stored = all(part.stored for part in pytree.tree_leaves(args) if isinstance(part, Value))
    given = pytree.tree_map_only(Value, lambda value: value.full, args)
    result = node.target(**given)  # type: ignore[operator]
    return pytree.tree_map_only(Tensor, lambda full: compact(full, stored=stored), result)


def reshape(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """A reshape to sizes that are numbers, so that they can be made smaller."""
    result = move(labels, node, args, shape)
    given = node.args[1] if len(node.args) > 1 else None
    sizes = list(given) if isinstance(given, list | tuple) and len(given) == len(shape) else []
    computed = [axis for axis, size in enumerate(sizes) if isinstance(size, Node) and axis in result.varying]
    if computed and (len(computed) > 1 or -1 in sizes):
        return labels.whole(result, tuple(computed), f"the size that {node.name} gives it is computed")
    return result


def select_stored(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Places that a stored or computed tensor names, along one axis."""
    value, axis = args["self"], args["dim"] % len(shape)
    value = labels.whole(value, (axis,), f"{node.name} takes single channels")
    return Value(value.labels, shape, value.stored)


def squeeze_all(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Dropping every axis of size 1, which must not become more of them."""
    value = labels.whole(args["self"], _all(args["self"]), f"{node.name} drops any axis that has become 1")
    return move(labels, node, {"self": value}, shape)


def take(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """A slice in steps of 1 can become shorter; single places cannot be counted anew."""
    if node.target not in (aten.slice.Tensor, aten.narrow.default) or args.get("step", 1) != 1:
        args = {**args, "self": labels.whole(args["self"], (args["dim"],), f"{node.name} takes single channels")}
    return move(labels, node, args, shape)


def concat(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Side by side; of channels along another axis, each goes from all parts."""
    values, axis = args["tensors"], args["dim"] % len(shape)
    if node.target is aten.stack.default:
        values = [Value(v.labels.unsqueeze(axis), (*v.shape[:axis], 1, *v.shape[axis:]), v.stored) for v in values]
    values = [value for value in values if len(value.shape) == len(shape)]
    if any(value.varying and not value.stored and axis not in value.varying for value in values):
        return labels.meet(values, shape, node.name)
    sizes = [max(value.labels.shape[index] for value in values) for index in range(len(shape))]
    parts = [v.labels.expand([v.shape[axis] if i == axis else size for i, size in enumerate(sizes)]) for v in values]
    joined = compact(torch.cat(parts, axis))
    return Value(joined.labels, shape, all(value.stored for value in values))


def pad(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Padding among channels makes channels, which can be left away; other padding belongs to the channel it pads."""
    value = args["self"]
    sides, rank = list(args["pad"]), len(shape)
    for axis in value.varying:
        before, after = sides[2 * (rank - 1 - axis) : 2 * (rank - axis)] or (0, 0)
        if not before and not after:
            continue
        if min(before, after) < 0 or args.get("mode", "constant") != "constant" or len(value.varying) > 1:
            value = labels.whole(value, (axis,), f"{node.name} pads or crops its channels")
            continue
        inner, sizes = value.labels, [1] * rank
        ends = [labels.new(number).reshape([*sizes[:axis], -1, *sizes[axis + 1 :]]) for number in (before, after)]
        value = Value(torch.cat([ends[0], inner, ends[1]], axis), shape)
    return Value(value.labels, shape, value.stored)


def shuffle(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Channels in groups: those that come to stand at one place of each group go together."""
    value = args["self"]
    pixels = node.target is aten.pixel_shuffle.default
    axis = len(value.shape) - 3 if pixels else 1
    if value.varying != (axis,):
        value = labels.whole(value, _all(value), f"{node.name} moves its channels")
        return Value(value.labels, shape)
    vector = value.labels.flatten()
    if pixels:
        grouped = vector.reshape(-1, args["upscale_factor"] ** 2)
        labels.tie(grouped, grouped[:, :1])
        kept = grouped[:, 0]
    else:
        grouped = vector.reshape(args["groups"], -1)
        labels.tie(grouped, grouped[:1])
        kept = grouped.T.flatten()
    return Value(kept.reshape([-1 if index == axis else 1 for index in range(len(shape))]), shape)


# Operators that compute -----------------------------------------------------------------------------------------------


def elementwise(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """What meets goes together."""
    values = [value for value in pytree.tree_leaves(args) if isinstance(value, Value)]
    return labels.meet(values, shape, node.name)


def spatial(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Pooling and resizing: each channel by itself, on the last axes."""
    value = next(value for value in pytree.tree_leaves(args) if isinstance(value, Value))
    digit = re.search(r"(\d)d", str(node.target))
    assert digit is not None
    axes = tuple(range(-int(digit[1]), 0))
    return Value(labels.whole(value, axes, f"{node.name} works across its channels").labels, shape)


def reduction(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """A mean or sum."""
    value = args["self"]
    axes = tuple(axis % len(value.shape) for axis in args["dim"] or _all(value))
    kept = labels.whole(value, axes, f"{node.name} adds up its channels")
    if len(kept.shape) == len(shape):
        return Value(kept.labels, shape)
    return Value(kept.labels.squeeze(axes), shape)


def softmax(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Every place along the axis takes part in every other's outcome."""
    return labels.whole(args["self"], (args["dim"],), f"{node.name} makes shares of its channels")


def matmul(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """A product of two values; heads, which lie on other axes than the last two, go whole."""
    first, second = [value for value in args.values() if isinstance(value, Value)][-2:]
    result = product(labels, node, first, second, shape)
    if node.target is aten.baddbmm.default:
        result = labels.meet([args["self"], result], shape, node.name)
    return result


def product(labels: Labels, node: Node, first: Value, second: Value, shape: Shape) -> Value:
    """The labels of a matrix product (*, rows, inner) x (*, inner, columns)."""
    reason = f"{node.name} multiplies its channels with others and adds them up"
    parts = []
    for value, contracted in ((first, -1), (second, -2)):
        rank = len(value.shape)
        if value.stored or rank < 2:
            parts.append(labels.whole(value, _all(value), reason))
            continue
        batch = any(axis < rank - 2 for axis in value.varying)
        whole = labels.whole(value, (-2, -1) if batch else (contracted,), reason)
        sizes = [1 if axis == rank + contracted else size for axis, size in enumerate(value.shape)]
        parts.append(Value(whole.labels, tuple(sizes)))
    if min(len(first.shape), len(second.shape)) < 2:
        return labels.rigid(shape, reason)
    return labels.meet(parts, shape, node.name)


def attention(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """Scaled dot products: heads go whole."""
    query, key, value = args["query"], args["key"], args["value"]
    turned = Value(key.labels.transpose(-1, -2), (*key.shape[:-2], key.shape[-1], key.shape[-2]))
    scores_shape = (*query.shape[:-1], key.shape[-2])
    if args.get("enable_gqa"):
        reason = f"{node.name} shares keys among queries"
        for one in (query, key, value):
            labels.fix(one.labels, reason)
        return labels.rigid(shape, reason)
    scores = product(labels, node, query, turned, scores_shape)
    if isinstance(args["attn_mask"], Value):
        scores = labels.meet([scores, args["attn_mask"]], scores_shape, node.name)
    return product(labels, node, scores, value, shape)


def size(labels: Labels, node: Node, args: dict[str, Any], shape: Shape) -> Any:
    """A number: a size, or what is computed of sizes."""
    given = [arg for arg in args.values() if arg is not None]
    if node.target is aten.sym_size.int:
        labels.whole(args["self"], (args["dim"],), f"its number is read by {node.name}")
        return args["self"].shape[args["dim"]]
    return node.target(*given)  # type: ignore[operator]


def _all(value: Value) -> tuple[int, ...]:
    return tuple(range(len(value.shape)))


POINTWISE = frozenset(
    (
        *("add", "sub", "mul", "div", "neg", "pow", "exp", "sqrt", "rsqrt", "clamp", "relu", "relu6", "leaky_relu"),
        *("sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "tanh", "elu", "mish", "softplus", "identity"),
    )
)
"""Each element by itself; others that torch tags so are, too."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, elementwise),
    **dict.fromkeys(("transpose", "expand", "split", "flip"), move),
    **dict.fromkeys(("max_pool", "avg_pool", "upsample_nearest", "upsample_bilinear"), spatial),
    **dict.fromkeys(("concat", "stack"), concat),
    **dict.fromkeys(("mean", "sum"), reduction),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    "reshape": reshape,
    "slice": take,
    "pad": pad,
    "pixel_shuffle": shuffle,
    "matmul": matmul,
    "attention": attention,
    "size": size,
}
"""By the kind of operator (`microjoule.graph.ops.kind`)."""

OTHERS: dict[Any, Rule] = {
    **dict.fromkeys((aten.to.dtype, aten._to_copy.default), elementwise),
    aten.squeeze.default: squeeze_all,
    aten.unbind.int: take,
    aten.index_select.default: select_stored,
}
"""By the operator itself, before its kind."""


def rule_for(node: Node, name: str | None) -> Rule | None:
    """The rule of a functional operator, or None if there is none: then its channels must stay."""
    found = OTHERS.get(node.target) or RULES.get(name or "")
    if found is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        found = elementwise
    return found


def by_name(node: Node) -> dict[str, Any]:
    """A node's arguments by name; Python's operators have none, so they are numbered."""
    if isinstance(node.target, torch._ops.OpOverload):
        return arguments(node)
    return {str(index): arg for index, arg in enumerate(node.args)}


def is_getitem(node: Node) -> bool:
    """Whether a node takes one value of several."""
    return node.target is operator.getitem
