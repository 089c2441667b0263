"""Bring a traced graph into one form: functional operators only, no no-ops, no guards.

In-place operators become functional where nobody else can see the difference; where a later reader could (a slice is
written to, say), the whole program is functionalized by torch instead, which `lift` understands as well.
"""

import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from microjoule.graph.ops import arguments

aten = torch.ops.aten

ASSERTIONS = (
    aten._assert_tensor_metadata.default,
    aten._assert_scalar.default,
    aten._assert_async.msg,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
    torch._check,
)

END = sys.maxsize


def _whole_slice(node: Node) -> bool:
    """x[:] along some dimension."""
    args = arguments(node)
    return args["start"] in (0, None) and args["end"] in (END, None) and args["step"] in (1, None)


NO_OPS: dict[Any, Callable[[Node], bool]] = {
    aten.detach.default: lambda _: True,
    aten.detach_.default: lambda _: True,
    aten.alias.default: lambda _: True,
    aten.contiguous.default: lambda _: True,
    aten.lift_fresh_copy.default: lambda _: True,
    aten.clone.default: lambda _: True,
    aten.slice.Tensor: _whole_slice,
    aten.to.dtype: lambda node: _dtype(node) == _dtype(node.args[0]),
    aten._to_copy.default: lambda node: _dtype(node) == _dtype(node.args[0]),
    aten.type_as.default: lambda node: _dtype(node) == _dtype(node.args[0]),
    aten.to.dtype_layout: lambda node: _dtype(node) == _dtype(node.args[0]),
}
"""Operators that (or: when they) change nothing. Views are written as reshapes, so memory layout does not count."""

RENAMED: dict[Any, Any] = {aten.view.default: aten.reshape.default, aten._unsafe_view.default: aten.reshape.default}


def canonicalize(module: GraphModule) -> GraphModule:
    """Edit a traced graph in place into the canonical form; it computes the same."""
    for node in list(module.graph.nodes):
        if node.target in ASSERTIONS or (node.op == "call_module" and "_guards_fn" in str(node.target)):
            module.graph.erase_node(node)
            continue
        if node.op != "call_function":
            continue
        if node.target is aten.copy_.default and _is_stored(node.args[0]):
            node.replace_all_uses_with(node.args[1])
            module.graph.erase_node(node)
            continue
        node.target = RENAMED.get(node.target, node.target)
        if is_in_place(node) and not hidden_readers(node):
            node.target = functional(node.target)
        if node.target in NO_OPS and NO_OPS[node.target](node):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    return module


def needs_functionalization(module: GraphModule) -> bool:
    """Whether a write into a tensor can be seen by a reader that does not read the write's own result."""
    return any(is_in_place(node) and hidden_readers(node) for node in module.graph.nodes)


def _is_stored(value: Any) -> bool:
    """Whether a value is an input or a stored tensor."""
    return isinstance(value, Node) and value.op in ("placeholder", "get_attr")


def is_in_place(node: Node) -> bool:
    """Whether an operator writes into its first input."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def functional(target: Any) -> Any:
    """The operator that returns what an in-place operator writes."""
    _, _, name = target._schema.name.partition("::")
    return getattr(getattr(aten, name.removesuffix("_")), target._overloadname)


def hidden_readers(node: Node) -> list[Node]:
    """Later nodes that read what an in-place operator writes to, other than through its result.

    The written tensor may be a view of another, and others may be views of it; a node that reads any of them later
    sees the write. The caller, who would see a write into an input, is none: a network leaves its inputs and buffers
    alone.
    """
    written = node.args[0]
    if not isinstance(written, Node):
        return [node]
    order = {other: index for index, other in enumerate(node.graph.nodes)}
    family, todo = {written}, [written]
    while todo:
        member = todo.pop()
        relatives = [user for user in member.users if _is_view(user) and order[user] < order[node]]
        if _is_view(member) and isinstance(member.args[0], Node):
            relatives.append(member.args[0])
        todo += [relative for relative in relatives if relative not in family]
        family.update(relatives)
    return [user for member in family for user in member.users if order[user] > order[node]]


def _is_view(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if node.target is operator.getitem:
        return True
    return schema is not None and any(a.alias_info is not None and not a.alias_info.is_write for a in schema.arguments)


def _dtype(node: Any) -> torch.dtype | None:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return getattr(value, "dtype", None)
