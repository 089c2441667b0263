"""Operators on tensors that have a shape and no values: how many bytes and how much work the real ones would take."""

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

META = torch.device("meta")

MOST_CALLS = 100_000
"""Of operators within the operators of a network, and of tensors that one of them gives."""

BYTE_WORK = 8
"""How many multiplications take as long as a byte that is written."""

SLOW_WORK = 20_000
SLOW = ("special_", "igamma", "polygamma", "zeta", "lgamma", "digamma")
"""Parts of the names of functions that take up to a microsecond a number, and how many multiplications that is."""

CUBIC_WORK = 50
CUBIC = ("linalg", "cholesky", "svd", "qr", "inverse", "lu_", "triangular", "det", "matrix_exp", "geqrf")
"""Parts of the names of operators on matrices, and how many multiplications they take for each number and row."""


class TooLargeError(ValueError):
    """Something would take more than it may."""


def bytes_of(values: Any) -> int:
    """The bytes of all tensors in a value, as if none shared memory."""
    return sum(leaf.numel() * leaf.element_size() for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor))


def on_meta(values: Any) -> Any:
    """The same with tensors that have no values, and devices on which there are none."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return (
                leaf if leaf.is_meta else torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=META)
            )
        return META if isinstance(leaf, torch.device) else leaf

    return pytree.tree_map(change, values)


class Measured(TorchDispatchMode):
    """While it is entered, adds up what operators take.

    Args:
        most_bytes: of any one tensor.
        most_work: of all operators.
    """

    def __init__(self, most_bytes: int, most_work: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most_bytes, self.most_work = most_bytes, most_work
        self.bytes, self.work, self.calls = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operator of those that others consist of."""
        kind, given = _kind(func), dict(kwargs or {})
        self.calls += 1
        if self.calls > MOST_CALLS or (kind.gives_list and _pieces(kind, args, given) > MOST_CALLS):
            raise TooLargeError(f"{func} gives more than {MOST_CALLS:,} tensors, or needs as many operators")
        if "device" in kind.names:
            given["device"] = META
        made = func(*args, **given)
        leaves = [leaf for leaf in pytree.tree_leaves(made) if isinstance(leaf, Tensor)]
        for leaf in leaves:
            self.add(leaf.numel() * leaf.element_size(), is_view=kind.gives_views)
        self.add(0, _work(kind, args, given, made, leaves))
        return made

    def add(self, size_bytes: int, work: int = 0, *, is_view: bool = False) -> None:
        """Count a tensor and work.

        Raises:
            TooLargeError: if that is too much.
        """
        if not is_view:
            self.bytes += size_bytes
            self.work += work + BYTE_WORK * size_bytes
        if size_bytes > self.most_bytes:
            raise TooLargeError(f"a value would take {size_bytes:,} bytes, and {self.most_bytes:,} are the most")
        if self.work > self.most_work:
            raise TooLargeError(f"it would take {self.work:.1g} multiplications, and {self.most_work:.1g} are the most")


class _Kind(NamedTuple):
    """What a schema says of an operator."""

    packet: Any
    names: tuple[str, ...]
    gives_list: bool
    gives_views: bool


@cache
def _kind(func: Any) -> _Kind:
    schema = func._schema
    return _Kind(
        func._overloadpacket,
        tuple(argument.name for argument in schema.arguments),
        any(str(one.type) == "List[Tensor]" for one in schema.returns),
        any(one.alias_info is not None and not one.alias_info.is_write for one in schema.returns),
    )


def _pieces(kind: _Kind, args: Any, kwargs: dict[str, Any]) -> int:
    """How many tensors an operator gives that takes one apart along a dimension."""
    given = dict(zip(kind.names, args, strict=False)) | kwargs
    whole, dim, step = given.get("self"), given.get("dim", 0), given.get("split_size", 1)
    if not isinstance(whole, Tensor) or whole.dim() == 0 or not isinstance(dim, int):
        return 0
    size = int(whole.shape[dim])
    return size if not isinstance(step, int) or step < 1 else -(-size // step)


def _work(kind: _Kind, args: Any, kwargs: dict[str, Any], made: Any, leaves: Sequence[Tensor]) -> int:
    """Multiplications beyond those that every byte counts for."""
    if kind.packet in flop_registry:
        return int(flop_registry[kind.packet](*args, **kwargs, out_val=made)) // 2
    name, numbers = kind.packet.__name__, sum(leaf.numel() for leaf in leaves)
    if any(part in name for part in SLOW):
        return SLOW_WORK * numbers
    if any(part in name for part in CUBIC):
        matrices = [one for one in pytree.tree_leaves(args) if isinstance(one, Tensor)]
        return CUBIC_WORK * sum(one.numel() * max(one.shape[-2:], default=1) for one in matrices)
    if "dist" in name:
        return numbers * max((one.shape[-1] for one in pytree.tree_leaves(args) if isinstance(one, Tensor)), default=1)
    window = dict(zip(kind.names, args, strict=False)).get("kernel_size", ())
    return numbers * prod(window) if isinstance(window, list | tuple) and window else 0
