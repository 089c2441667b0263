"""How large the output of an operator gets whose size depends on numbers: at most, by looking at them."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

aten = torch.ops.aten
INDEX_BYTES = 8


def by_values(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The most bytes that an operator gives; None if its size depends on no numbers.

    Args:
        target: an operator.
        args: with their values.
        kwargs: likewise.
    """
    rule = RULES.get(target._overloadpacket)
    if rule is None:
        return None
    names = [argument.name for argument in target._schema.arguments]
    return rule(dict(zip(names, args, strict=False)) | kwargs)


def _given(given: dict[str, Any]) -> int:
    """As much as goes in, and for each number of it an index a dimension, and another one."""
    tensors = [one for one in pytree.tree_leaves(given) if isinstance(one, Tensor)]
    return sum(one.numel() * (one.element_size() + INDEX_BYTES * (1 + max(1, one.dim()))) for one in tensors)


def _bins(given: dict[str, Any]) -> int:
    counted, least = given["self"], int(given.get("minlength", 0))
    return INDEX_BYTES * max(least, _largest(counted) + 1)


def _classes(given: dict[str, Any]) -> int:
    classes = int(given.get("num_classes", -1))
    return INDEX_BYTES * int(given["self"].numel()) * (_largest(given["self"]) + 1 if classes < 0 else classes)


def _repeated(given: dict[str, Any]) -> int:
    repeats, whole = given["repeats"], given.get("self")
    each = INDEX_BYTES if whole is None else max(INDEX_BYTES, int(whole.nbytes))
    return each * (int(repeats.clamp(min=0).double().sum()) if isinstance(repeats, Tensor) else int(repeats))


def _intervals(given: dict[str, Any]) -> int:
    bins = given.get("bins", 100)
    return 2 * INDEX_BYTES * (bins if isinstance(bins, int) else _given(given))


def _parts(given: dict[str, Any]) -> int:
    where = given.get("tensor_indices_or_sections")
    count = 1 if not isinstance(where, Tensor) else where.numel() if where.dim() else _largest(where)
    return (count + 1) * (int(given["self"].nbytes) + INDEX_BYTES)


def _indexed(given: dict[str, Any]) -> int:
    """An index or a mask for each of some dimensions; these become one for all, and the others stay."""
    whole, dim, rest, shapes = given["self"], 0, 1, []
    for index in given["indices"]:
        taken = 1 if index is None or index.dtype not in (torch.bool, torch.uint8) else index.dim()
        if index is None:
            rest *= whole.shape[dim]
        else:
            shapes.append((int(index.count_nonzero()),) if taken != 1 or index.dtype == torch.bool else index.shape)
        dim += taken
    broadcast: tuple[int, ...] = torch.broadcast_shapes(*shapes)
    return prod((*broadcast, rest, *whole.shape[dim:], int(whole.element_size())))


def _nothing(_: dict[str, Any]) -> int:
    return 0


def _largest(values: Tensor) -> int:
    return max(0, int(values.max())) if values.numel() else 0


RULES: dict[Any, Callable[[dict[str, Any]], int]] = {
    **dict.fromkeys((aten.nonzero, aten.argwhere, aten.nonzero_numpy, aten.masked_select, aten._unique2), _given),
    **dict.fromkeys((aten.unique_consecutive, aten.unique_dim, aten.unique_dim_consecutive, aten.geqrf), _given),
    **dict.fromkeys((aten._logcumsumexp, aten.fake_quantize_per_channel_affine_cachemask), _given),
    aten.fake_quantize_per_tensor_affine_cachemask: _given,
    aten.bincount: _bins,
    aten.one_hot: _classes,
    aten.repeat_interleave: _repeated,
    aten.histogram: _intervals,
    aten.tensor_split: _parts,
    **dict.fromkeys((aten.index, aten._unsafe_index), _indexed),
    **dict.fromkeys((aten.index_put, aten._unsafe_index_put, aten.masked_scatter), _given),
    **dict.fromkeys((aten.item, aten._local_scalar_dense), _nothing),
}
