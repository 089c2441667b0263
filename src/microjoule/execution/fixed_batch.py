"""A batch that is smaller than the one that a network takes: filled up with copies of its samples, dropped afterwards.

Some models hold for the batch of the example alone. Data is then cut into batches of that size, and what is left over
at the end is run with copies of its own samples beside it; nothing of what these give is looked at.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.execution.signature import part_of, samples_along
from microjoule.graph.network import Network
from microjoule.graph.notice import BATCH, notice
from microjoule.records.noticed import Noticed


@dataclass(frozen=True, slots=True)
class Fill:
    """How a batch was filled up.

    Args:
        samples: that it held.
        size: that the network takes.
        axis: along which they lie.
    """

    samples: int
    size: int
    axis: int

    def repeat(self, values: Any) -> Any:
        """A batch with copies of its samples after them.

        Args:
            values: tensors, nested in tuples, lists and dicts.
        """
        return part_of(values, torch.arange(self.size) % self.samples, self.axis)

    def cut(self, values: Any) -> Any:
        """What belongs to the samples themselves.

        Args:
            values: tensors, nested in tuples, lists and dicts; one that has no entry a sample stays whole.
        """
        return pytree.tree_map_only(Tensor, self._cut, values)

    def _cut(self, value: Tensor) -> Tensor:
        for axis in (self.axis, 0):
            if value.dim() > axis and value.shape[axis] == self.size:
                return value.narrow(axis, 0, self.samples)
        return value


def filled(network: Network, inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], Fill | None]:
    """Inputs as a network with a fixed batch takes them, and how to drop what was added; as they are if nothing was.

    Args:
        network: with a batch of any size, or one.
        inputs: of a batch.
    """
    if network.dynamic_batch:
        return inputs, None
    axis = network.batch_axis
    samples, size = samples_along(inputs, axis), samples_along(network.example.tensors, axis)
    if not 0 < samples < size:
        return inputs, None
    fill = Fill(samples, size, axis)
    fact = f"the network takes {size} samples at once, and a batch of {samples} was filled up with copies of them"
    notice(network, Noticed(BATCH, "data", fact, "nothing: what the copies gave was dropped", serious=False))
    whole: tuple[Any, ...] = fill.repeat(inputs)
    return whole, fill
