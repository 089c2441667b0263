"""Half and double precision: a network computes in float32, whatever its model computes in.

Grids, ranges and integers are worked out in float32, and so is what they are compared with. A model in float16,
bfloat16 or float64, one that is mixed, and one with autocast inside become networks in float32: the tensors are
converted, and casts between such types are left out. How far that is from the model, its own precision says.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_aggregate
from torch.utils import _pytree as pytree

from microjoule.graph.network import Example, Network

aten = torch.ops.aten

HALVES = (torch.float16, torch.bfloat16)

ROUNDINGS = 16
"""By how many of its own roundings, relative to its largest value, a model's output may differ from that in float32."""

DOUBLE = 5e-5
"""The same for a model in double precision, whose network rounds to float32 at every step."""

CASTS = (
    *(aten.to.dtype, aten.to.dtype_layout, aten.to.other, aten.to.device, aten._to_copy.default, aten.type_as.default),
    aten.alias.default,
)


def types_of(program: ExportedProgram) -> tuple[torch.dtype, ...]:
    """The floating-point types other than float32 that a model is stored in, or half ones that it computes in."""
    stored, computed = set[torch.dtype](), set[torch.dtype]()
    for node in program.graph.nodes:
        held = {leaf.dtype for leaf in pytree.tree_leaves(node.meta.get("val")) if isinstance(leaf, Tensor)}
        (stored if node.op == "placeholder" else computed).update(one for one in held if one.is_floating_point)
        computed |= {one for one in _types_in(node) if one in HALVES}
    found = (stored | (computed & set(HALVES))) - {torch.float32}
    return tuple(sorted(found, key=str))


def _types_in(node: Node) -> Iterator[torch.dtype]:
    yield from (leaf for leaf in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(leaf, torch.dtype))


def has_autocast(program: ExportedProgram) -> bool:
    """Whether a model switches autocast on in its own forward."""
    modules = [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    nodes = (node for module in modules for node in module.graph.nodes)
    return any(getattr(node.target, "__name__", "") == "wrap_with_autocast" and node.args[2] for node in nodes)


def largest_difference(types: tuple[torch.dtype, ...]) -> float:
    """By how much a network in float32 may differ from a model in some types, relative to the largest value."""
    return max((ROUNDINGS * torch.finfo(one).eps if one in HALVES else DOUBLE for one in types), default=0.0)


def to_float32(network: Network, types: tuple[torch.dtype, ...]) -> None:
    """Bring a network into float32, in place.

    Args:
        network: fresh from its program, whose values the nodes' `meta` tells.
        types: as `types_of` gives them; other types, such as a cast to double precision in a model in float32, stay.
    """
    network.module.float()
    for node in list(network.graph.nodes):
        node.args, node.kwargs = _converted(node.args, types), _converted(node.kwargs, types)
        if node.target in CASTS and _stays(node, types):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)
    network.recompile()
    network.contract = network.contract.to_dtype(torch.float32)
    example = network.example
    args, kwargs = pytree.tree_map_only(Tensor, _as_float32, (example.args, example.kwargs))
    network.example = Example(args, kwargs)


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _converted(value: Any, types: tuple[torch.dtype, ...]) -> Any:
    return map_aggregate(value, lambda one: torch.float32 if isinstance(one, torch.dtype) and one in types else one)


def _stays(node: Node, types: tuple[torch.dtype, ...]) -> bool:
    """Whether a cast is between types that are float32 now."""
    ours = {*types, torch.float32}
    source = node.args[0]
    pair = (source.meta.get("val"), node.meta.get("val")) if isinstance(source, Node) else ()
    return bool(pair) and all(isinstance(one, Tensor) and one.dtype in ours for one in pair)
