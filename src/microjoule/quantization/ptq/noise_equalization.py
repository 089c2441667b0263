"""Noise equalization: scale channels so that rounding adds the least noise, weights and activations together.

For a positively homogeneous f and any positive diagonal S, W2 f(W1 x + b1) == (W2 S) f(S^-1 W1 x + S^-1 b1).
Cross-layer equalization takes the S that makes weight ranges equal. What counts is the noise: a step D adds about
D^2 / 12 to each rounded number, and with s the scales of a layer's inputs and t of its outputs, relative to output o,

    from weights:  (D_w t_o)^2 / 12 * K sum_i var(x_i) / s_i^2 / var(y_o),    D_w = max |W_oi| s_i / t_o / levels
    from inputs:   D_x^2 / 12 * sum_i |W_oi|^2 s_i^2 / var(y_o),              D_x = range of all x_i / s_i / levels

K is the number of taps of a kernel; what rounding does to means is left to bias correction. The variances are those of
the batch norms. The sum over all layers of the mean over their outputs is lowered by gradient descent on log s.

Source: the transformation, Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
https://arxiv.org/abs/1906.04721, section 4.1. The objective is microjoule's own.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.execution.progress import track
from microjoule.graph.card import Ranges
from microjoule.graph.edit import per_input
from microjoule.graph.families import Family, Reader, find_families
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.graph.rescale import rescale
from microjoule.quantization.moments import Known, propagate
from microjoule.records.facts import NoiseEqualized

SIGMAS = 6.0
"""How far a normal channel is taken to reach (the paper's n for activation ranges)."""

NEGLIGIBLE = 1e-8
"""An output with less than this share of the largest variance is constant: relative noise says nothing of it."""

LEARNING_RATE = 0.1
"""Of log s: a hundred steps reach scales some thousand apart."""

# The equations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Channels:
    """What a layer's noise depends on.

    Args:
        largest: (out, in / groups), the largest weight of each kernel.
        power: (out, in / groups), the sum of the squares of each kernel.
        taps: weights in a kernel.
        rows: (out or 1, in / groups), which inputs the weights of each output read.
        var: (in,), of the inputs.
        low: (in,), the smallest value that each input takes.
        high: (in,), the largest.
        signal: (out,), the variance of each output; infinite for one that is constant.
    """

    largest: Tensor
    power: Tensor
    taps: int
    rows: Tensor
    var: Tensor
    low: Tensor
    high: Tensor
    signal: Tensor


def weight_noise(channels: Channels, s: Tensor, t: Tensor, *, levels: int) -> Tensor:
    """The power that rounding the weights adds to each output, relative to its own.

    Args:
        channels: the layer.
        s: (in,), what each input is divided by, > 0.
        t: (out,), what each output is divided by, > 0.
        levels: steps from 0 to the largest weight.

    Returns:
        (out,).
    """
    step = ((channels.largest * s[channels.rows]).amax(1) / t).amax() / levels
    read = (channels.taps * channels.var / s.square())[channels.rows].sum(1)
    return (step * t).square() / 12 * read / channels.signal


def input_noise(channels: Channels, s: Tensor, *, levels: int) -> Tensor:
    """The power that rounding the inputs adds to each output, relative to its own.

    Args:
        channels: the layer.
        s: (in,), what each input is divided by, > 0.
        levels: steps from the smallest to the largest value.

    Returns:
        (out,).
    """
    step = ((channels.high / s).amax().clamp(min=0) - (channels.low / s).amin().clamp(max=0)) / levels
    return step.square() / 12 * (channels.power * s.square()[channels.rows]).sum(1) / channels.signal


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
def equalize_noise(
    network: Network,
    *,
    input_range: Ranges,
    weights: int = 8,
    activations: int = 8,
    steps: int = 100,
) -> NoiseEqualized:
    """Scale the channels between layers so that quantization adds the least noise, in place.

    The network computes the same function after. It serves a target with one scale a tensor.

    Args:
        network: a network whose batch norms are folded, without quantizers.
        input_range: smallest and largest value of all inputs, or of each by its name.
        weights: bits of the weights, which will have symmetric grids.
        activations: bits of the activations.
        steps: of gradient descent.

    Returns:
        The scales of each group, the noise before and after, and where scaling does not apply, with the reason.
    """
    families, skipped = find_families(network)
    problem = _Problem(network, families, input_range)
    levels = 2 ** (weights - 1) - 1 or 1, 2**activations - 1
    scales = [family.first.stored_weight.detach().new_ones(family.first.out_channels) for family in families]
    before = problem.noise(scales, levels).item()
    if scales:
        scales = _descend(problem, scales, levels, steps=steps)
    after = problem.noise(scales, levels).item()
    groups, capped = rescale(network, families, scales)
    record = NoiseEqualized(groups, before, after, capped, tuple(skipped))
    network.history.append(record)
    return record


class _Problem:
    """The noise of a network as a function of the scales of its families."""

    def __init__(self, network: Network, families: list[Family], input_range: Ranges) -> None:
        known = propagate(network, input_range)
        self.layers = [(layer, _channels(layer, known)) for layer in network.layers]
        self.made_by = {family.first.path: index for index, family in enumerate(families)}
        self.read_by: dict[str, list[tuple[int, Reader]]] = defaultdict(list)
        for index, family in enumerate(families):
            for reader in family.readers:
                self.read_by[reader.layer.path].append((index, reader))

    def noise(self, scales: list[Tensor], levels: tuple[int, int]) -> Tensor:
        """The sum over the layers of their outputs' mean relative noise.

        Args:
            scales: for each family (channels,), > 0.
            levels: steps of weights, and of activations.
        """
        total = torch.zeros(())
        for channels, s, t in self._placed(scales):
            weights = weight_noise(channels, s, t, levels=levels[0])
            total = total.to(s) + (weights + input_noise(channels, s, levels=levels[1])).mean()
        return total

    def _placed(self, scales: list[Tensor]) -> Iterator[tuple[Channels, Tensor, Tensor]]:
        """Each layer, with the scales of its inputs and of its outputs."""
        for layer, channels in self.layers:
            s = channels.var.new_ones(layer.in_channels)
            for index, reader in self.read_by[layer.path]:
                s = s * reader.spread(scales[index])
            made = self.made_by.get(layer.path)
            yield channels, s, channels.var.new_ones(layer.out_channels) if made is None else scales[made]


def _channels(layer: Layer, known: dict[Node, Known]) -> Channels:
    """A layer's numbers; where its statistics are not known its inputs count as of variance 1 and without rounding."""
    kernels = layer.by_output(layer.stored_weight.detach())[..., None].flatten(2)
    source, made = known.get(layer.node.all_input_nodes[0]), known.get(layer.node)
    rows = per_input(layer, torch.arange(layer.in_channels, device=kernels.device)).flatten(1)
    rows = rows[:1] if layer.groups == 1 else rows
    largest, power, taps = kernels.abs().amax(2), kernels.square().sum(2), kernels.shape[2]
    if source is None or made is None or len(source.low) != layer.in_channels:
        nothing = kernels.new_zeros(layer.in_channels)
        return Channels(largest, power, taps, rows, nothing + 1, nothing, nothing, _signal(power.sum(1)))
    normal = source.before
    low, high = normal.mean - SIGMAS * normal.std, normal.mean + SIGMAS * normal.std
    low, high = (bound.clamp(source.low, source.high) for bound in (low, high))
    return Channels(largest, power, taps, rows, source.var, low, high, _signal(made.before.std.square()))


def _signal(var: Tensor) -> Tensor:
    return torch.where(var > NEGLIGIBLE * var.max(), var, torch.full_like(var, torch.inf))


def _descend(problem: _Problem, scales: list[Tensor], levels: tuple[int, int], steps: int) -> list[Tensor]:
    """Lower the noise by gradient descent on the logarithms of the scales."""
    logs = [scale.log().requires_grad_() for scale in scales]
    optimizer = torch.optim.Adam(logs, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for _ in track(range(steps), "equalize noise", total=steps):
            optimizer.zero_grad()
            problem.noise([log.exp() for log in logs], levels).backward()
            optimizer.step()
            schedule.step()
    return [log.detach().exp() for log in logs]
