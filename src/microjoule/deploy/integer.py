"""A quantized network run with integers alone, bit by bit as a target would: the reference for deployment.

Weights and activations are integers of their grids, sums have 32 bits, and between two grids stands a fixed-point
multiplication (see `fixed_point`). It is made to be exact and not fast. What it has no integer form for, it names; what
comes after the last quantizer is computed in real numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.deploy.integer_operators import OPERATORS, Step
from microjoule.deploy.integer_support import after_the_last_quantizer, unsupported
from microjoule.deploy.integer_values import ACCUMULATOR_BITS, VALUES, Integers, Sums
from microjoule.errors import ExportError
from microjoule.execution.run import misfit
from microjoule.graph.network import Network, not_captured
from microjoule.graph.ops import Layer, kind
from microjoule.records.facts import Placed


class IntegerRunner:
    """Runs a network's integers.

    Args:
        network: with calibrated quantizers; it is copied, so later edits do not matter.
        accumulator_bits: of a sum; None for that of the target which the network was quantized for, or 32.

    Raises:
        ExportError: if the network has operators without an integer form; the message names all of them.
        SettingError: for what is no captured network.
    """

    def __init__(self, network: Network, *, accumulator_bits: int | None = None) -> None:
        if not isinstance(network, Network):
            raise not_captured("network", network)
        missing = unsupported(network)
        if missing:
            raise ExportError(
                "integer runner",
                f"has no integer form for {'; '.join(missing)}",
                remedy="verify in ONNX Runtime instead, or quantize what these read and give",
            )
        self.network = network.copy().to("cpu").eval()
        self.ends = after_the_last_quantizer(self.network)
        placed = [record.accumulator_bits for record in network.history if isinstance(record, Placed)]
        known = [bits for bits in (accumulator_bits, *reversed(placed), ACCUMULATOR_BITS) if bits is not None]
        self.accumulator_bits = known[0]

    def __call__(self, *inputs: Any) -> Any:
        """The network's outputs, in real numbers, computed with integers from the first quantizer to the last.

        Raises:
            ExportError: if a sum needs more bits than the accumulator has.
            DataError: if the inputs do not fit.
        """
        return pytree.tree_map_only(VALUES, lambda value: value.reals(), self._run(inputs, None))

    def integers(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Any]:
        """The integers of every quantized value by its name, and the outputs, in real numbers.

        Raises:
            ExportError, DataError: as a call.
        """
        found: dict[str, Tensor] = {}

        def look(node: Node, value: Any) -> None:
            if isinstance(value, Integers) and str(node.target).startswith("quantizers."):
                found[str(node.target).removeprefix("quantizers.")] = value.stored

        outputs = self._run(inputs, look)
        return found, pytree.tree_map_only(VALUES, lambda value: value.reals(), outputs)

    def _run(self, inputs: tuple[Any, ...], look: Callable[[Node, Any], None] | None) -> Any:
        moved = pytree.tree_map_only(Tensor, lambda t: t.cpu(), inputs)
        try:
            with torch.no_grad():
                return _Run(self, look).run(*self.network.row(moved))
        except (RuntimeError, TypeError, ValueError) as error:
            raise misfit(self.network, moved, error) from error


class _Run(Interpreter):
    """One pass."""

    def __init__(self, runner: IntegerRunner, look: Callable[[Node, Any], None] | None) -> None:
        super().__init__(runner.network.module, garbage_collect_values=True)
        self.extra_traceback = False  # an error of ours says where it is
        self.network = runner.network
        self.bits = runner.accumulator_bits
        self.look = look
        self.ends = runner.ends

    def run_node(self, n: Node) -> Any:
        """Compute one node on integers."""
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        step = Step(self.network, n, self.env.__getitem__)
        if n in self.ends:
            return step.call(lambda value: value.reals())
        value = OPERATORS[str(kind(self.network.module, n))](step)
        if isinstance(value, Sums):
            self._check(n, value.total)
        if self.look is not None:
            self.look(n, value)
        return value

    def _check(self, node: Node, total: Tensor) -> None:
        low, high = (int(end) for end in torch.aminmax(total))
        largest = max(-low, high)
        if largest >= 2 ** (self.bits - 1):
            layer = Layer.at(self.network.module, node)
            raise ExportError(
                layer.path if layer is not None else node.name,
                f"a sum of {largest:.4g} does not fit into {self.bits} bits",
                remedy="give its weights or its inputs fewer bits",
            )
