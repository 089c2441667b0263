"""Elementwise clamps, read in one place: ReLU and its kin, with their bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node

from microjoule.graph.ops import arguments, aten, stored_at


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise clamp: max(low, min(high, x)), with slope `slope` below 0 if it has no lower bound.

    low and high are numbers, infinite where there is no bound, or a stored tensor of one number a channel.
    """

    low: float | Tensor
    high: float | Tensor

    @classmethod
    def at(cls, module: GraphModule, node: Node) -> "Activation | None":
        """The clamp at a node (ReLU, ReLU6, hardtanh, clamp), or None if something else is there."""
        reader = CLAMPS.get(node.target) if node.op == "call_function" else None
        if reader is None:
            return None
        low, high = reader(arguments(node))
        bounds = [_bound(module, low, -float("inf")), _bound(module, high, float("inf"))]
        if any(bound is None for bound in bounds):
            return None
        return cls(bounds[0], bounds[1])  # type: ignore[arg-type]


CLAMPS: dict[Any, Callable[[dict[str, Any]], tuple[Any, Any]]] = {
    aten.relu.default: lambda _: (0.0, None),
    aten.relu6.default: lambda _: (0.0, 6.0),
    aten.hardtanh.default: lambda a: (a["min_val"], a["max_val"]),
    aten.clamp.default: lambda a: (a["min"], a["max"]),
    aten.clamp.Tensor: lambda a: (a["min"], a["max"]),
    aten.clamp_min.default: lambda a: (a["min"], None),
    aten.clamp_max.default: lambda a: (None, a["max"]),
}


def _bound(module: GraphModule, value: Any, missing: float) -> float | Tensor | None:
    """A clamp's bound: a number, a stored tensor, or None if it is computed."""
    if value is None:
        return missing
    if isinstance(value, Node):
        return getattr(*stored_at(module, value)) if value.op == "get_attr" else None
    return float(value)
