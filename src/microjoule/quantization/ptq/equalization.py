"""Cross-layer equalization: give neighbouring layers equal per-channel ranges.

For a positively homogeneous f, that is f(s*x) = s*f(x) for s > 0 as ReLU is,

    W2 f(W1 x + b1)  ==  (W2 S) f(S^-1 W1 x + S^-1 b1)

for every positive diagonal S. The network stays the same; its ranges need not. Choosing S so that both weights have
the same range per channel keeps the most precision when each weight gets a single scale.

A capped f (ReLU6) is not homogeneous, but min(x, 6) / s == min(x / s, 6 / s): the cap becomes one number a channel.
Replacing ReLU6 by ReLU instead, as the paper does, would change the network.

A depthwise layer in the middle is the second of one pair and the first of the next. Sweeping over the pairs until the
scales settle reaches the point where the ranges of all three meet, which the paper's cube roots give in one step.

Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
https://arxiv.org/abs/1906.04721, section 4.1.
"""

import math

import torch
from torch import Tensor

from microjoule.graph.edit import bounds_of, by_input, per_input
from microjoule.graph.families import Family, find_families
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.graph.rescale import rescale
from microjoule.records.facts import Equalized

SIGMAS = 6.0
"""How far a normal channel is taken to reach (the paper's n for activation ranges)."""

NEGLIGIBLE = 2.0**-24
"""Half a unit in the last place of float32: a channel of weights this far below the largest is not used."""

# The equation ---------------------------------------------------------------------------------------------------------


def equalizing_scale(first: Tensor, second: Tensor) -> Tensor:
    """Solve  max|first[c]| / s[c]  ==  max|second[c]| * s[c]  for s.

        s = sqrt(r1 / r2)

    A channel that is all zero on either side is left alone: s = 1.

    Args:
        first: (channels, n), for each channel the weights that make it.
        second: (channels, m), for each channel the weights that read it.

    Returns:
        (channels,), all > 0.
    """
    r1, r2 = first.abs().amax(1), second.abs().amax(1)
    return torch.where((r1 > 0) & (r2 > 0), (r1 / r2).sqrt(), torch.ones_like(r1))


def settled_scale(first: Tensor, second: Tensor, reach: Tensor) -> Tensor:
    """The equalizing scale without what all channels have in common, within the reach of the widest channel.

    A factor common to all channels changes no grid's relative precision, and would drift along a chain of layers. A
    channel of tiny weights but a large bias would, equalized for its weights alone, get values that set the range of
    the whole activation: reach / s may not exceed the largest reach. A constant channel (no weights make it, but it is
    not 0) is scaled until the weights that read it are as large as those that read the median channel.

    Args:
        first: (channels, n), for each channel the weights that make it.
        second: (channels, m), for each channel the weights that read it.
        reach: (channels,), the largest value that each channel takes, 0 where that is not known.

    Returns:
        (channels,), all > 0; 1 for a channel that is not used.
    """
    r1, r2 = first.abs().amax(1), second.abs().amax(1)
    made, read = r1 > NEGLIGIBLE * r1.max(), r2 > NEGLIGIBLE * r2.max()
    live, constant = made & read, ~made & read & (reach > 0)
    scale = torch.where(live, equalizing_scale(first, second), torch.ones_like(r1))
    floor = reach / reach.max() if bool((reach > 0).any()) else torch.zeros_like(reach)
    if bool(live.any()):
        common = scale[live].log().mean().exp()
        scale = torch.where(live, torch.maximum(scale / common, floor), scale)
        scale = torch.where(constant, torch.maximum(r2[live].median() / r2, floor).clamp(max=1), scale)
    return scale


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
def equalize(network: Network, *, sweeps: int = 100, tolerance: float = 1e-2) -> Equalized:
    """Equalize every layer with the layers that read it, in place; the network computes the same function after.

    Args:
        network: a network whose batch norms are folded.
        sweeps: at most so many rounds over all pairs.
        tolerance: stop once no scale changes by more than this share in a round.

    Returns:
        The total scale of each group, and where equalization does not apply, with the reason.
    """
    families, skipped = find_families(network)
    touched = [layer for family in families for layer in (family.first, *(reader.layer for reader in family.readers))]
    sizes = {layer.path: _magnitudes(layer) for layer in touched}
    reaches = [_reach(network, family) for family in families]
    totals = [torch.ones_like(reach) for reach in reaches]
    change, rounds = math.inf if families else 0.0, 0
    while change > tolerance and rounds < sweeps:
        rounds, change = rounds + 1, 0.0
        for index, (family, reach) in enumerate(zip(families, reaches, strict=True)):
            scale = _scale(family, sizes, reach / totals[index])
            _rescale(family, sizes, scale)
            totals[index] = totals[index] * scale
            change = max(change, scale.max().item() - 1, 1 / scale.min().item() - 1)
    groups, capped = rescale(network, families, totals)
    record = Equalized(groups, rounds, change, capped, tuple(skipped))
    network.history.append(record)
    return record


def _magnitudes(layer: Layer) -> Tensor:
    """For each pair of channels the largest weight between them: (out_channels, in_channels / groups)."""
    return layer.by_output(layer.stored_weight.detach()).abs()[..., None].flatten(2).amax(2)


def _reach(network: Network, family: Family) -> Tensor:
    """The largest value of each of a layer's channels after its activation, (channels,); 0 where nothing tells."""
    known = network.preactivations.get(family.first.path)
    if known is None:
        return family.first.stored_weight.new_zeros(family.first.out_channels)
    high = known.mean + SIGMAS * known.std
    for node in family.activations:
        low_bound, high_bound = bounds_of(network, node, high, 0)
        high = torch.clamp(high, low_bound, high_bound)
    return high.clamp(min=0)


def _scale(family: Family, sizes: dict[str, Tensor], reach: Tensor) -> Tensor:
    read = [
        reader.largest(by_input(reader.layer, sizes[reader.layer.path]).amax(1), len(reach))
        for reader in family.readers
    ]
    return settled_scale(sizes[family.first.path], torch.stack(read, 1), reach)


def _rescale(family: Family, sizes: dict[str, Tensor], scale: Tensor) -> None:
    sizes[family.first.path] /= scale[:, None]
    for reader in family.readers:
        sizes[reader.layer.path] *= per_input(reader.layer, reader.spread(scale)).flatten(1)
