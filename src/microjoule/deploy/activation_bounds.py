"""A clamp before a quantizer, as bounds on the quantizer's integers.

Rounding is monotone, so clamping before it and after it is the same:

    Q(min(max(x, low), high))  ==  min(max(Q(x), Q(low)), Q(high))

exactly, for every x. Where Q(low) and Q(high) are the ends of the grid the clamp does nothing that the grid does not do
already, which is how ReLU and ReLU6 disappear into an integer convolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import Activation
from microjoule.numerics.affine import Affine, quantize


@dataclass(frozen=True, slots=True)
class Bounds:
    """The smallest and the largest integer that may come out of a quantizer.

    Args:
        low: (), or (channels, 1, ...) where each channel has its own.
        high: as `low`.
    """

    low: Tensor
    high: Tensor

    @property
    def per_channel(self) -> bool:
        """Whether the channels have different bounds."""
        return self.low.numel() > 1 or self.high.numel() > 1


def integer_bounds(low: float | Tensor, high: float | Tensor, affine: Affine) -> Bounds | None:
    """Q(low) and Q(high), or None if they are the ends of the grid and bound nothing.

    Args:
        low: a number, or (channels, 1, ...).
        high: as `low`.
        affine: one scale for the whole tensor.
    """
    lows = quantize(torch.as_tensor(low, dtype=torch.float32), affine)
    highs = quantize(torch.as_tensor(high, dtype=torch.float32), affine)
    if bool((lows == affine.grid.qmin).all()) and bool((highs == affine.grid.qmax).all()):
        return None
    return Bounds(_single(lows), _single(highs))


def _single(bounds: Tensor) -> Tensor:
    """One number where all channels have the same."""
    same = bool((bounds == bounds.flatten()[0]).all())
    return bounds.flatten()[0] if same else bounds


def clamp_before(network: Network, quantizer: Node) -> Activation | None:
    """The clamp that a quantizer alone reads, so that it can be taken into its integers."""
    before = quantizer.all_input_nodes[0]
    return Activation.at(network.module, before) if len(before.users) == 1 else None
