"""A network run on all of its data, stage by stage: up to a layer, and on from there when that layer has changed.

Layer-by-layer methods need what each layer reads once all layers before it are settled. Running the network anew for
each layer would cost as many passes as there are layers; here each node runs once for each batch, and only values that
a later stage reads are kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from microjoule.errors import MicrojouleError
from microjoule.execution.allocator import EVERY, release
from microjoule.execution.fixed_batch import Fill, filled
from microjoule.execution.run import MISFITS, misfit, to_device
from microjoule.execution.store import Store
from microjoule.graph.network import Network
from microjoule.graph.ops import module_at
from microjoule.graph.quantizer import Quantizer


class Stages:
    """The values of a network between its stages.

    Args:
        network: as it is at each moment: a change of a layer counts for all stages after it.
        parts: the inputs of each batch.
        stops: nodes in the order of the network; a stage ends before each of them.
        store: keeps the values between stages.

    Raises:
        DataError: while going on, if the inputs do not fit the network.
    """

    def __init__(self, network: Network, parts: Sequence[tuple[Any, ...]], stops: Sequence[Node], store: Store) -> None:
        self.network = network
        self.parts = parts
        self.store = store
        nodes = list(network.graph.nodes)
        self._order = {node: index for index, node in enumerate(nodes)}
        self._ends = [self._order[stop] for stop in stops]
        self._nodes = nodes
        self._last_use = {node: max((self._order[user] for user in node.users), default=-1) for node in nodes}
        self._done = 0
        self._live: set[Node] = set()

    def go_on(self, stage: int) -> Iterator[tuple[int, "Values"]]:
        """Run every batch up to a stop; what follows the layer before it runs with that layer as it is now.

        Args:
            stage: the number of the stop; they come one after another.

        Yields:
            The number of a batch and its values, of which the stop's inputs can be asked.
        """
        first, end = self._done, self._ends[stage]
        segment = self._nodes[first:end]
        for number, inputs in enumerate(self.parts):
            values = Values(self, number)
            with torch.no_grad():
                self._run(values, segment, inputs)
                yield number, values
            for node in segment:
                if self._read_from(node, end):
                    self.store.put((number, node), values.env[node], self._affine(node))
            for node in self._live:
                if not self._read_from(node, end):
                    self.store.drop((number, node))
            values.env.clear()
            if number % EVERY == EVERY - 1:
                release()
        self._live = {node for node in (*self._live, *segment) if self._read_from(node, end)}
        self._done = end

    def _read_from(self, node: Node, position: int) -> bool:
        """Whether a value must be kept for the nodes from a position on; a stored tensor is read anew."""
        return node.op != "get_attr" and self._last_use[node] >= position

    def _run(self, values: "Values", segment: Sequence[Node], inputs: tuple[Any, ...]) -> None:
        moved, values.fill = filled(self.network, to_device(inputs, self.network.device))
        try:
            leaves = iter(self.network.row(moved))
            for node in segment:
                values.env[node] = next(leaves) if node.op == "placeholder" else values.step(node)
        except MicrojouleError:
            raise
        except (*MISFITS, StopIteration) as error:
            raise misfit(self.network, moved, error) from error

    def _affine(self, node: Node) -> Any:
        """The grid that a value lies on, if a quantizer in use made it."""
        module = module_at(self.network.module, node)
        return module.affine if isinstance(module, Quantizer) and module.enabled and module.calibrated else None


class Values(Interpreter):
    """The values of one batch: those that ran now, and those of stages before."""

    def __init__(self, stages: Stages, number: int) -> None:
        super().__init__(stages.network.module, garbage_collect_values=False)
        self.number = number
        self.store = stages.store
        self.fill: Fill | None = None

    def value(self, node: Node) -> Any:
        """What a node gave."""
        if node not in self.env:
            self.env[node] = super().run_node(node) if node.op == "get_attr" else self.store.get((self.number, node))
        return self.env[node]

    def cut(self, value: Tensor) -> Tensor:
        """What belongs to the samples of the batch, where it was filled up for a network that takes no smaller one.

        Args:
            value: any shape; what a node gave.
        """
        cut: Tensor = value if self.fill is None else self.fill.cut(value)
        return cut

    def step(self, node: Node) -> Any:
        """Run one node on what the nodes before it gave."""
        for before in node.all_input_nodes:
            self.value(before)
        return super().run_node(node)
