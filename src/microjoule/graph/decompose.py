"""Operators that a target lacks, as operators that it runs in integer: the same function, in more nodes.

    silu(x)       ==  x sigmoid(x)                      hardsigmoid(x)  ==  clamp(x / 6 + 1/2, 0, 1)
    hardswish(x)  ==  x clamp(x + 3, 0, 6) / 6          glu(a, b)       ==  a sigmoid(b)

Scaled dot-product attention becomes products of matrices and a softmax (`attention`), and a contraction a product of
matrices (`contraction`). A number that is added or multiplied becomes a stored operand, on which a quantizer can stand.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from microjoule.graph.attention import attention
from microjoule.graph.contraction import contraction
from microjoule.graph.edit import Builder, store_operand
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, aten, kind, tensor_inputs
from microjoule.graph.resplit import hand_parts_on
from microjoule.graph.shapes import typed_shapes

Build = Callable[[Builder], Node | None]
"""Makes the nodes that stand in for one, and gives the last; None where it cannot."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How an operator is replaced.

    Args:
        name: what it is called in records.
        lacking: done only where this does not run in integer.
        needs: what must run in integer for it to be worth while.
        build: the nodes.
    """

    name: str
    lacking: str
    needs: frozenset[str]
    build: Build


# The equations --------------------------------------------------------------------------------------------------------


def _silu(make: Builder) -> Node:
    x = make.node.args[0]
    return make(aten.mul.Tensor, x, make(aten.sigmoid.default, x))


def _hardswish(make: Builder) -> Node:
    x = make.node.args[0]
    gate = make(aten.clamp.default, make(aten.add.Tensor, x, 3.0), 0.0, 6.0)
    return make(aten.mul.Tensor, make(aten.mul.Tensor, x, gate), 1 / 6)


def _hardswish_by_gate(make: Builder) -> Node:
    x = make.node.args[0]
    return make(aten.mul.Tensor, x, make(aten.hardsigmoid.default, x))


def _hardsigmoid(make: Builder) -> Node:
    share = make(aten.mul.Tensor, make.node.args[0], 1 / 6)
    return make(aten.clamp.default, make(aten.add.Tensor, share, 0.5), 0.0, 1.0)


def _glu(make: Builder) -> Node:
    args = arguments(make.node)
    halves = make(aten.chunk.default, args["self"], 2, args["dim"])
    value, gate = (make.getitem(halves, half) for half in (0, 1))
    return make(aten.mul.Tensor, value, make(aten.sigmoid.default, gate))


def _product_and_sum(make: Builder) -> Node:
    """beta self + alpha (a @ b)."""
    args = arguments(make.node)
    a, b = (args[name] for name in (("mat1", "mat2") if "mat1" in args else ("batch1", "batch2")))
    product, added = make(aten.matmul.default, a, b), args["self"]
    product = product if args["alpha"] == 1 else make(aten.mul.Tensor, product, args["alpha"])
    if args["beta"] == 0:
        return product
    added = added if args["beta"] == 1 else make(aten.mul.Tensor, added, args["beta"])
    return make(aten.add.Tensor, product, added)


def _scaled_sum(make: Builder) -> Node | None:
    """a + alpha b, where alpha is not 1."""
    args = arguments(make.node)
    if args["alpha"] == 1 or not isinstance(args["other"], Node):
        return None
    return make(make.node.target, args["self"], make(aten.mul.Tensor, args["other"], args["alpha"]))


def _quotient(make: Builder) -> Node | None:
    """x / c as x (1 / c)."""
    divisor = make.node.args[1]
    if not isinstance(divisor, int | float) or isinstance(divisor, bool) or divisor == 0:
        return None
    return make(aten.mul.Tensor, make.node.args[0], 1 / divisor)


ARITHMETIC = frozenset(("add", "mul"))
GATED = frozenset(("sigmoid", "mul"))
PRODUCTS = frozenset(("matmul", "softmax"))
RULES: dict[Any, tuple[Rule, ...]] = {
    aten.silu.default: (Rule("silu", "silu", GATED, _silu),),
    aten.hardswish.default: (
        Rule("hardswish", "hardswish", frozenset(("hardsigmoid", "mul")), _hardswish_by_gate),
        Rule("hardswish", "hardswish", ARITHMETIC, _hardswish),
    ),
    aten.hardsigmoid.default: (Rule("hardsigmoid", "hardsigmoid", ARITHMETIC, _hardsigmoid),),
    aten.glu.default: (Rule("glu", "glu", GATED, _glu),),
    aten.scaled_dot_product_attention.default: (Rule("attention", "attention", PRODUCTS, attention),),
    aten.einsum.default: (Rule("einsum", "einsum", frozenset(("matmul",)), contraction),),
    aten.baddbmm.default: (Rule("baddbmm", "baddbmm", frozenset(("matmul",)), _product_and_sum),),
    aten.addmm.default: (Rule("addmm", "addmm", frozenset(("matmul",)), _product_and_sum),),
    aten.add.Tensor: (Rule("a sum with a factor", "scaled add", ARITHMETIC, _scaled_sum),),
    aten.sub.Tensor: (Rule("a difference with a factor", "scaled sub", frozenset(("sub", "mul")), _scaled_sum),),
    aten.div.Tensor: (Rule("a quotient by a number", "scaled div", frozenset(("mul",)), _quotient),),
}

# Applying it ----------------------------------------------------------------------------------------------------------


def decompose(network: Network, integer: Collection[str], excluded: Collection[str] = ()) -> dict[str, int]:
    """Replace, in place, what does not run in integer by what does; the network computes the same function after.

    Args:
        network: without quantizers.
        integer: kinds of operators that run in integer.
        excluded: paths of layers that stay in floating point, and with them what activates their outputs.

    Returns:
        What was replaced, and how often.
    """
    known = typed_shapes(network)
    parts = hand_parts_on(network, known)
    network.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
    done = Counter({"a split of joined parts": parts} if parts else {})
    for node in list(network.graph.nodes):
        if node.op != "call_function" or _activates(network, node, excluded):
            continue
        for rule in RULES.get(node.target, ()):
            if rule.lacking in integer or not rule.needs <= set(integer):
                continue
            last = rule.build(Builder(network, node, known))
            if last is not None:
                known[last] = known[node]
                _replace(node, last)
                done[rule.name] += 1
                break
    network.recompile()
    _store_numbers(network, integer)
    return dict(done)


def _activates(network: Network, node: Node, excluded: Collection[str]) -> bool:
    """Whether a node reads an excluded layer alone."""
    layers = [Layer.at(network.module, one) for one in tensor_inputs(node)]
    return bool(layers) and all(layer is not None and layer.path in excluded for layer in layers)


def _replace(node: Node, last: Node) -> None:
    last.meta = dict(node.meta)
    node.replace_all_uses_with(last)
    node.graph.erase_node(node)


def _store_numbers(network: Network, integer: Collection[str]) -> None:
    """Numbers that are added or multiplied in integer become stored operands."""
    known = typed_shapes(network)
    for node in list(network.graph.nodes):
        name = kind(network.module, node)
        if name not in ("add", "sub", "mul") or name not in integer or not known[node][1].is_floating_point:
            continue
        for index, value in enumerate(node.args[:2]):
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = torch.tensor(value, dtype=known[node][1])
                node.update_arg(index, store_operand(network, number, node))
    network.recompile()
