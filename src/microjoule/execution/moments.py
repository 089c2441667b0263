"""Moments of what layers read and give, in one pass through the network; no activation is kept.

Of each layer there is one matrix as large as its input at one place, (in * kernel size)^2 numbers in float64: 170 MB
for a 3x3 convolution of 512 channels.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.execution.batches import batches, first, in_parts, sample_count
from microjoule.execution.progress import track
from microjoule.execution.reconstruct import PART, ROWS
from microjoule.execution.run import visit
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import input_rows, output_rows, output_sizes, sample_positions
from microjoule.numerics.least_squares import Moments, RunningMoments


def input_moments(
    network: Network,
    data: Any,
    layers: Sequence[Layer],
    *,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
) -> dict[str, Moments]:
    """Moments of what layers read, in the column order of `graph.patches.weight_rows`, and of what they give.

    Of a layer that is called twice it is the first call. A padded input counts as what its padding holds.

    Args:
        network: the network as it is.
        data: inputs, in any form that `batches` takes; labels are not read.
        layers: of that network.
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output to look at, over all samples; at least one of each sample.
        seed: of the places.

    Returns:
        Layer path -> its moments.

    Raises:
        DataError: if the data is empty, not finite, or does not fit.
    """
    found = first(batches(data, network), samples)
    per_sample = -(-rows // sample_count(found))
    looking = _Looking(layers, per_sample)
    for number, (inputs, _) in enumerate(track(in_parts(found, PART), "moments of inputs")):
        looking.start(seed + number)
        visit(network, inputs, looking.nodes, looking.look)
    return looking.moments()


class _Looking:
    """Holds what layers read until they give something, and sums up."""

    def __init__(self, layers: Sequence[Layer], per_sample: int) -> None:
        self.layers = {layer.node: layer for layer in layers}
        self.sources = {layer.node: layer.node.all_input_nodes[0] for layer in layers}
        self.sums = {layer.path: RunningMoments() for layer in layers}
        self.per_sample = per_sample
        self.held: dict[Node, Tensor] = {}
        self.left: Counter[Node] = Counter()

    @property
    def nodes(self) -> set[Node]:
        """All values that are looked at."""
        return {*self.layers, *self.sources.values()}

    def start(self, seed: int) -> None:
        """Before each batch: the same places for the same seed."""
        self.chooser = torch.Generator().manual_seed(seed)
        self.held.clear()
        self.left = Counter(self.sources.values())

    def look(self, node: Node, value: Tensor) -> None:
        """Take in a value."""
        if node in self.layers:
            layer, source = self.layers[node], self.sources[node]
            where = sample_positions(len(value), output_sizes(layer, value.shape), self.per_sample, self.chooser)
            self.sums[layer.path].update(input_rows(layer, self.held[source], where), output_rows(layer, value, where))
            self.left[source] -= 1
            if not self.left[source]:
                del self.held[source]
        if self.left[node]:
            self.held[node] = value

    def moments(self) -> dict[str, Moments]:
        """Of all batches so far."""
        return {path: sums.moments() for path, sums in self.sums.items()}
