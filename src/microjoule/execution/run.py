"""Running a network on data, one batch after another, with a look at the values inside it."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, MicrojouleError
from microjoule.execution.batches import Batches
from microjoule.execution.fixed_batch import Fill, filled
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer

T = TypeVar("T")

MISFITS = (RuntimeError, TypeError, ValueError, IndexError)
"""What running a network raises where inputs do not fit; the last for an index that an embedding lacks."""

Visitor = Callable[[Node, Tensor], Tensor | None]
"""(node, its value for one batch) -> the value to go on with, or None to leave it."""


class _Visiting(Interpreter):
    """Runs the graph and shows chosen nodes' values on the way; every value is freed after its last use."""

    def __init__(self, network: Network, nodes: Collection[Node], visitor: Visitor, fill: Fill | None = None) -> None:
        super().__init__(network.module, garbage_collect_values=True)
        self.chosen = set(nodes)
        self.visitor = visitor
        self.fill = fill

    def run_node(self, n: Node) -> Any:
        """Run one node, and let the visitor see what it gives."""
        result = super().run_node(n)
        if n in self.chosen and isinstance(result, Tensor):
            changed = self.visitor(n, result if self.fill is None else self.fill.cut(result))
            if changed is not None:
                return changed if self.fill is None else self.fill.repeat(changed)
        return result


def run(network: Network, inputs: tuple[Any, ...]) -> Any:
    """The network's outputs for one batch, without gradients, in evaluation mode, on the network's device.

    Raises:
        DataError: if the inputs do not fit the network.
    """
    moved, fill = filled(network, to_device(inputs, network.device))
    try:
        with torch.no_grad(), in_evaluation(network.module):
            outputs = network.module(*network.row(moved))
            return outputs if fill is None else fill.cut(outputs)
    except MicrojouleError:
        raise
    except MISFITS as error:
        raise misfit(network, moved, error) from error


def visit(network: Network, inputs: tuple[Any, ...], nodes: Collection[Node], visitor: Visitor) -> None:
    """Run one batch, in evaluation mode, and show the values of some nodes, in the order of the network.

    Raises:
        DataError: if the inputs do not fit the network.
    """
    moved, fill = filled(network, to_device(inputs, network.device))
    try:
        with torch.no_grad(), in_evaluation(network.module):
            _Visiting(network, nodes, visitor, fill).run(*network.row(moved))
    except MicrojouleError:
        raise
    except MISFITS as error:
        raise misfit(network, moved, error) from error


def outputs_and_values(
    network: Network, inputs: tuple[Any, ...], nodes: Collection[Node]
) -> tuple[Any, dict[Node, Tensor]]:
    """The outputs for one batch and the values of some nodes, with gradients where they are enabled.

    Args:
        network: the network.
        inputs: of a batch, on the network's device.
        nodes: whose values are wanted; the graph is interpreted only if there is one.

    Raises:
        DataError: if the inputs do not fit the network.
    """
    values: dict[Node, Tensor] = {}
    whole, fill = filled(network, inputs)
    try:
        row = network.row(whole)
        run_whole = _Visiting(network, nodes, values.__setitem__, fill).run if nodes else network.module
        outputs = run_whole(*row)
        return (outputs if fill is None else fill.cut(outputs)), values
    except MicrojouleError:
        raise
    except MISFITS as error:
        raise misfit(network, inputs, error) from error


def visit_all(network: Network, data: Batches, nodes: Collection[Node], visitor: Visitor) -> int:
    """`visit` for every batch; returns how many samples there were."""
    samples = 0
    for inputs, _ in data:
        visit(network, inputs, nodes, visitor)
        samples += data.count(inputs)
    return samples


def outputs(network: Network, data: Batches) -> Iterator[tuple[Any, Any]]:
    """The network's outputs and the targets, batch by batch."""
    for inputs, targets in data:
        yield run(network, inputs), targets


def batch_step(network: Network) -> int:
    """By how many samples batches may differ: 1, or all those of the example where the network takes no other."""
    return 1 if network.dynamic_batch else network.contract.samples(network.example.tensors) or 1


def to_device(values: T, device: torch.device) -> T:
    """Inputs or targets on a device; what holds no tensor stays as it is."""
    moved: T = pytree.tree_map_only(Tensor, lambda t: t.to(device), values)
    return moved


def misfit(network: Network, inputs: tuple[Any, ...], error: Exception) -> DataError:
    """The error for inputs that a network takes by their shapes, and that do not go through it."""
    got = [tuple(t.shape) for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)]
    expected = ", ".join(f"{one.name} {one}" for one in network.contract.inputs)
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    fact = f"inputs of shape {got} do not go through a network that takes {expected}: {reason}"
    return DataError("data", fact, remedy="give inputs of the example's shape and type")


class unquantized:  # noqa: N801
    """A context in which a network computes in floating point: every quantizer passes values through."""

    def __init__(self, network: Network) -> None:
        self.modes = {m: m.enabled for m in network.module.modules() if isinstance(m, Quantizer)}

    def __enter__(self) -> None:
        """Switch every quantizer off."""
        for quantizer in self.modes:
            quantizer.enabled = False

    def __exit__(self, *_: object) -> None:
        """Set each as it was."""
        for quantizer, enabled in self.modes.items():
            quantizer.enabled = enabled
