"""What operators that are no layers do to labels of channels: move them, tie them, need all of them, or fix them.

An operator that only moves values is run on the labels themselves. Each rule has the signature of `Rule`.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.graph.labels import Labels, Value, compact
from microjoule.graph.ops import arguments, aten
from microjoule.graph.shapes import Shape


@dataclass(frozen=True, slots=True)
class Call:
    """An operator in a graph, as a rule sees it.

    Args:
        labels: of the network.
        node: the operator's.
        args: by name; a `Value` in place of each tensor, a number in place of each size.
        shape: of what it gives, if that is one tensor.
    """

    labels: Labels
    node: Node
    args: dict[str, Any]
    shape: Shape

    def on(self, value: Value) -> "Call":
        """The same operator on another value."""
        return replace(self, args={**self.args, "self": value})


Rule = Callable[[Call], Any]
"""A call -> the labels of what it gives: a `Value`, several of them, or a number."""

# Operators that move values -------------------------------------------------------------------------------------------


def move(call: Call) -> Any:
    """Run the operator on the labels."""
    stored = all(part.stored for part in pytree.tree_leaves(call.args) if isinstance(part, Value))
    given = pytree.tree_map_only(Value, lambda value: value.full, call.args)
    result = call.node.target(**given)  # type: ignore[operator]
    return pytree.tree_map_only(Tensor, lambda full: compact(full, stored=stored), result)


def reshape(call: Call) -> Any:
    """A reshape to sizes that are numbers, so that they can be made smaller."""
    result = move(call)
    given = call.node.args[1] if len(call.node.args) > 1 else None
    sizes = list(given) if isinstance(given, list | tuple) and len(given) == len(call.shape) else []
    computed = [axis for axis, size in enumerate(sizes) if isinstance(size, Node) and axis in result.varying]
    if computed and (len(computed) > 1 or -1 in sizes):
        return call.labels.whole(result, tuple(computed), f"the size that {call.node.name} gives it is computed")
    return result


def select_stored(call: Call) -> Any:
    """Places that a stored or computed tensor names, along one axis."""
    value = call.args["self"]
    kept = call.labels.whole(value, (call.args["dim"],), f"{call.node.name} takes single channels")
    return Value(kept.labels, call.shape)


def squeeze_all(call: Call) -> Any:
    """Dropping every axis of size 1, which must not become more of them."""
    value = call.args["self"]
    return move(call.on(call.labels.whole(value, _all(value), f"{call.node.name} drops any axis that becomes 1")))


def take(call: Call) -> Any:
    """A slice in steps of 1 can become shorter; single places cannot be counted anew."""
    if call.node.target not in (aten.slice.Tensor, aten.narrow.default) or call.args.get("step", 1) != 1:
        reason = f"{call.node.name} takes single channels"
        call = call.on(call.labels.whole(call.args["self"], (call.args["dim"],), reason))
    return move(call)


def concat(call: Call) -> Any:
    """Side by side; of channels along another axis, each goes from all parts."""
    values, axis = call.args["tensors"], call.args["dim"] % len(call.shape)
    if call.node.target is aten.stack.default:
        values = [Value(v.labels.unsqueeze(axis), (*v.shape[:axis], 1, *v.shape[axis:]), v.stored) for v in values]
    values = [value for value in values if len(value.shape) == len(call.shape)]
    if any(value.varying and not value.stored and axis not in value.varying for value in values):
        return call.labels.meet(values, call.shape, call.node.name)
    sizes = [max(value.labels.shape[index] for value in values) for index in range(len(call.shape))]
    parts = [v.labels.expand([v.shape[axis] if i == axis else size for i, size in enumerate(sizes)]) for v in values]
    joined = compact(torch.cat(parts, axis))
    return Value(joined.labels, call.shape, all(value.stored for value in values))


def pad(call: Call) -> Any:
    """Padding among channels makes channels, which can be left away; other padding belongs to the channel it pads."""
    value = call.args["self"]
    sides, rank = list(call.args["pad"]), len(call.shape)
    for axis in value.varying:
        before, after = sides[2 * (rank - 1 - axis) : 2 * (rank - axis)] or (0, 0)
        if not before and not after:
            continue
        if min(before, after) < 0 or call.args.get("mode", "constant") != "constant" or len(value.varying) > 1:
            value = call.labels.whole(value, (axis,), f"{call.node.name} pads or crops its channels")
            continue
        inner, sizes = value.labels, [1] * rank
        ends = [call.labels.new(number).reshape([*sizes[:axis], -1, *sizes[axis + 1 :]]) for number in (before, after)]
        value = Value(torch.cat([ends[0], inner, ends[1]], axis), call.shape)
    return Value(value.labels, call.shape, value.stored)


def shuffle(call: Call) -> Any:
    """Channels in groups: those that come to stand at one place of each group go together."""
    value = call.args["self"]
    pixels = call.node.target is aten.pixel_shuffle.default
    axis = len(value.shape) - 3 if pixels else 1
    if value.varying != (axis,):
        value = call.labels.whole(value, _all(value), f"{call.node.name} moves its channels")
        return Value(value.labels, call.shape)
    vector = value.labels.flatten()
    if pixels:
        grouped = vector.reshape(-1, call.args["upscale_factor"] ** 2)
        call.labels.tie(grouped, grouped[:, :1])
        kept = grouped[:, 0]
    else:
        grouped = vector.reshape(call.args["groups"], -1)
        call.labels.tie(grouped, grouped[:1])
        kept = grouped.T.flatten()
    return Value(kept.reshape([-1 if index == axis else 1 for index in range(len(call.shape))]), call.shape)


# Operators that compute -----------------------------------------------------------------------------------------------


def elementwise(call: Call) -> Any:
    """What meets goes together."""
    values = [value for value in pytree.tree_leaves(call.args) if isinstance(value, Value)]
    return call.labels.meet(values, call.shape, call.node.name)


def spatial(call: Call) -> Any:
    """Pooling and resizing: each channel by itself, on the last axes."""
    value = next(value for value in pytree.tree_leaves(call.args) if isinstance(value, Value))
    digit = re.search(r"(\d)d", str(call.node.target))
    assert digit is not None
    axes = tuple(range(-int(digit[1]), 0))
    return Value(call.labels.whole(value, axes, f"{call.node.name} works across its channels").labels, call.shape)


def reduction(call: Call) -> Any:
    """A mean or sum."""
    value = call.args["self"]
    axes = tuple(axis % len(value.shape) for axis in call.args["dim"] or _all(value))
    kept = call.labels.whole(value, axes, f"{call.node.name} adds up its channels")
    if len(kept.shape) == len(call.shape):
        return Value(kept.labels, call.shape)
    return Value(kept.labels.squeeze(axes), call.shape)


def softmax(call: Call) -> Any:
    """Every place along the axis takes part in every other's outcome."""
    return call.labels.whole(call.args["self"], (call.args["dim"],), f"{call.node.name} makes shares of its channels")


def matmul(call: Call) -> Any:
    """A product of two values; heads, which lie on other axes than the last two, go whole."""
    first, second = [value for value in call.args.values() if isinstance(value, Value)][-2:]
    result = _product(call, first, second, call.shape)
    if call.node.target is aten.baddbmm.default:
        result = call.labels.meet([call.args["self"], result], call.shape, call.node.name)
    return result


def attention(call: Call) -> Any:
    """Scaled dot products: heads go whole."""
    query, key, value = call.args["query"], call.args["key"], call.args["value"]
    if call.args["enable_gqa"]:
        reason = f"{call.node.name} shares keys among queries"
        for one in (query, key, value):
            call.labels.fix(one.labels, reason)
        return call.labels.rigid(call.shape, reason)
    turned = Value(key.labels.transpose(-1, -2), (*key.shape[:-2], key.shape[-1], key.shape[-2]))
    shape = (*query.shape[:-1], key.shape[-2])
    scores = _product(call, query, turned, shape)
    if isinstance(call.args["attn_mask"], Value):
        scores = call.labels.meet([scores, call.args["attn_mask"]], shape, call.node.name)
    shares = call.labels.whole(scores, (-1,), f"{call.node.name} makes shares of its channels")
    return _product(call, shares, value, call.shape)


def _product(call: Call, first: Value, second: Value, shape: Shape) -> Value:
    """The labels of a matrix product (*, rows, inner) x (*, inner, columns)."""
    labels, reason = call.labels, f"{call.node.name} multiplies its channels with others and adds them up"
    if min(len(first.shape), len(second.shape)) < 2:
        for value in (first, second):
            labels.fix(value.labels, reason)
        return labels.rigid(shape, reason)
    parts = []
    for value, contracted in ((first, -1), (second, -2)):
        rank = len(value.shape)
        batch = any(axis < rank - 2 for axis in value.varying)
        whole = labels.whole(value, (-2, -1) if batch else (contracted,), reason)
        sizes = [1 if axis == rank + contracted else size for axis, size in enumerate(value.shape)]
        parts.append(Value(whole.labels, tuple(sizes), value.stored))
    return labels.meet(parts, shape, call.node.name)


def size(call: Call) -> Any:
    """A number: a size, or what is computed of sizes."""
    given = [arg for arg in call.args.values() if arg is not None]
    if call.node.target is aten.sym_size.int:
        call.labels.whole(call.args["self"], (call.args["dim"],), f"its number is read by {call.node.name}")
        return call.args["self"].shape[call.args["dim"]]
    return call.node.target(*given)  # type: ignore[operator]


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
