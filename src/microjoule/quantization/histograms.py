"""What a person wants to see of a grid: which of its steps are used, and what it clips.

A value x is counted at the step round(x / scale) + zero point, whether the grid reaches so far or not. Scales of their
own for each channel thus share one picture: all channels have the same steps.
"""

from typing import Any

import torch
from torch import Tensor, nn

from microjoule.errors import GraphError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.run import run
from microjoule.graph.network import Network, takes_network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine, along
from microjoule.records.analysed import GridHistogram, GridHistograms

BINS = 64
"""Within the grid at most; half as many on each side of it."""


@takes_network
@returns
def histograms(network: Network, data: Any, *, samples: int = 32, device: Device = None) -> GridHistograms:
    """Count the values that each quantizer reads while the quantized network runs, and note it in the history.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes.
        samples: how many samples to use.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        GraphError: if the network has no quantizer with a range.
        DataError: if the data is empty, not finite, or does not fit.
    """
    move(network, device)
    weights = {layer.path: layer for layer in network.layers if layer.quantizer is not None}
    values = {quantizer: name for name, quantizer in network.quantizers.items() if quantizer.calibrated}
    if not weights and not values:
        raise GraphError("network", "has no quantizer with a range", remedy="call mj.quantize and mj.calibrate first")
    counts = {quantizer: _Counts(quantizer.affine) for quantizer in values}

    def look(quantizer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(quantizer, Quantizer)
        counts[quantizer].update(inputs[0])

    hooks = [quantizer.register_forward_pre_hook(look) for quantizer in values]
    seen = 0
    try:
        source = first(batches(data, network, batch_size=8), samples)
        for inputs, _ in source:
            run(network, inputs)
            seen += source.count(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    rows = []
    for path, layer in weights.items():
        assert layer.quantizer is not None
        counted = _Counts(layer.quantizer.affine)
        counted.update(layer.stored_weight.detach())
        rows.append(counted.row(path, "weight"))
    rows += [counts[quantizer].row(name, "activation") for quantizer, name in values.items()]
    record = GridHistograms(seen, tuple(rows))
    network.history.append(record)
    return record


class _Counts:
    """How many values fall on each step of a grid, and beside it."""

    def __init__(self, affine: Affine) -> None:
        grid = affine.grid
        self.affine = affine
        self.width = -(-(grid.steps + 1) // BINS)
        bins = -(-(grid.steps + 1) // self.width)
        margin = -(-bins // 2)
        self.start = grid.qmin - margin * self.width
        self.counts = torch.zeros(bins + 2 * margin, dtype=torch.float64)
        self.clipped = 0.0

    def update(self, x: Tensor) -> None:
        """Take in some values.

        Args:
            x: any shape; channels at the scheme's axis.
        """
        scale, zero_point = (along(part, x, self.affine.scheme) for part in (self.affine.scale, self.affine.zero_point))
        steps = torch.round(x / scale) + zero_point
        grid = self.affine.grid
        self.clipped += float(((steps < grid.qmin) | (steps > grid.qmax)).sum())
        at = ((steps - self.start) / self.width).floor().clamp(0, len(self.counts) - 1)
        self.counts += torch.bincount(at.flatten().long(), minlength=len(self.counts)).cpu()

    def row(self, name: str, kind: str) -> GridHistogram:
        """What was counted."""
        grid, total = self.affine.grid, max(1.0, float(self.counts.sum()))
        shares = tuple((self.counts / total).tolist())
        ends = (grid.qmin, grid.qmax, self.width, self.start)
        return GridHistogram(name, kind, grid.bits, *ends, shares, self.clipped / total)
