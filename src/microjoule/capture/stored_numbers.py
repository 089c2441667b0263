"""Numbers that a model reads from its stored tensors while it is traced: `int(self.count)`, `if self.scale > 1`.

A tracer knows no values. Those of stored tensors, and of what is computed from them alone, do not depend on the input,
so that a number read from them is a constant of the network.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

READS = frozenset(
    {
        *(Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__),
        *(Tensor.__contains__, torch.equal, torch.allclose, torch.is_nonzero, Tensor.is_nonzero),
    }
)
"""Functions that make Python values of tensors."""

FACTORIES = frozenset({torch.arange, torch.linspace, torch.zeros, torch.ones, torch.full, torch.eye, torch.logspace})
"""Functions that make constants of numbers."""

RANDOM = ("rand", "dropout", "bernoulli", "normal", "multinomial", "poisson", "empty", "uniform")
"""Parts of the names of functions that give something else each time."""


class StoredNumbers(TorchFunctionMode):
    """While a model is traced: what it reads from stored tensors are their values.

    Args:
        traced: the tensors that stand for stored ones in the trace, by name.
        real: the stored tensors by name.
    """

    def __init__(self, traced: Mapping[str, Tensor], real: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, Callable[[], Any]]] = {}
        for name, tensor in traced.items():
            self._know(tensor, real[name])

    def _know(self, tensor: Tensor, value: Tensor) -> None:
        self._known[id(tensor)] = tensor, lambda: value

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function; a number read from stored tensors is computed with their values."""
        given = (args, kwargs or {})
        leaves = pytree.tree_leaves(given)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if _writes(func, given[1]):
            for tensor in tensors[:1]:
                self._known.pop(id(tensor), None)
            return func(*args, **given[1])
        known = all(id(tensor) in self._known for tensor in tensors) and (bool(tensors) or func in FACTORIES)
        if not known or _is_random(func) or any(isinstance(leaf, torch.SymInt | torch.SymFloat) for leaf in leaves):
            return func(*args, **given[1])
        compute = self._computation(func, given)
        if func in READS:
            return compute()
        result = func(*args, **given[1])
        self._follow(result, compute)
        return result

    def _computation(self, func: Any, given: tuple[tuple[Any, ...], dict[str, Any]]) -> Callable[[], Any]:
        """What a function gives for the values of stored tensors; computed when it is asked for, and then kept."""
        found: list[Any] = []
        sources = {id(t): self._known[id(t)][1] for t in pytree.tree_leaves(given) if isinstance(t, Tensor)}

        def compute() -> Any:
            if not found:
                args, kwargs = pytree.tree_map_only(Tensor, lambda t: sources[id(t)](), given)
                with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
                    found.append(func(*args, **kwargs))
            return found[0]

        return compute

    def _follow(self, result: Any, compute: Callable[[], Any]) -> None:
        """Know each tensor of a result by its place."""
        for index, leaf in enumerate(pytree.tree_leaves(result)):
            if isinstance(leaf, Tensor):
                self._known[id(leaf)] = leaf, lambda index=index: pytree.tree_leaves(compute())[index]  # type: ignore[misc]


def _writes(func: Any, kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return (
        in_place
        or name in ("__setitem__", "__set__", "__iadd__", "__imul__", "__isub__", "__itruediv__")
        or "out" in kwargs
    )


def _is_random(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return any(part in name for part in RANDOM)
