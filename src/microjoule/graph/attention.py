"""Scaled dot-product attention as products of matrices and a softmax.

    softmax(scale Q K^T + mask) V

Every attribute: masks of booleans or of numbers, a causal mask, another scale, several heads of queries for one of keys
(grouped-query attention). A query whose keys are all masked attends to nothing and gives 0, as torch's own does.

Source: Vaswani et al. 2017, Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.2.1.
"""

import math

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.edit import Builder
from microjoule.graph.ops import arguments, aten
from microjoule.graph.walk import stored_tensor


def attention(make: Builder) -> Node | None:
    """The nodes that stand in for an attention, or None if it drops values at random."""
    args, known = arguments(make.node), make.known
    query, key, value, mask = (args[name] for name in ("query", "key", "value", "attn_mask"))
    if args["dropout_p"]:
        return None
    queries, dtype = known[query]
    if args["enable_gqa"]:
        key, value = (
            make(aten.repeat_interleave.self_int, one, queries[-3] // known[one][0][-3], -3) for one in (key, value)
        )
    scale = queries[-1] ** -0.5 if args["scale"] is None else args["scale"]
    scaled = query if scale == 1 else make(aten.mul.Tensor, query, scale)
    scores = make(aten.matmul.default, scaled, make(aten.transpose.int, key, -2, -1))
    if args["is_causal"]:
        sizes = [make(aten.sym_size.int, one, -2) for one in (query, key)]
        mask = make(aten.tril.default, make(aten.new_ones.default, query, sizes, dtype=torch.bool))
    least = torch.finfo(dtype).min
    if mask is None:
        shares, seen = make(aten.softmax.int, scores, -1), None
    elif args["is_causal"] or known[mask][1] is torch.bool:
        kept = make(aten.where.ScalarOther, mask, scores, least)
        shares, seen = make(aten.softmax.int, kept, -1), None if args["is_causal"] else mask
    else:
        shares, seen = _with_numbers(make, scores, mask, least)
    if seen is not None:
        shares = make(aten.where.ScalarOther, seen, shares, 0.0)
    return make(aten.matmul.default, shares, value)


def _with_numbers(make: Builder, scores: Node, mask: Node, least: float) -> tuple[Node, Node | None]:
    """The shares under a mask that is added, and where a key is seen, if a query may see none."""
    stored = stored_tensor(make.network, mask) if mask.op == "get_attr" else None
    if stored is not None and _sees_some(stored):
        return make(aten.softmax.int, make(aten.add.Tensor, scores, mask), -1), None
    finite = make(aten.clamp.default, mask, least)
    shares = make(aten.softmax.int, make(aten.add.Tensor, scores, finite), -1)
    return shares, make(aten.ne.Scalar, mask, -math.inf)


def _sees_some(mask: Tensor) -> bool:
    return bool((mask > -math.inf).any(-1).all())
