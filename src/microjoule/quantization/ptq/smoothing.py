"""Smoothing: move outliers from activations, which are hard to quantize, into weights, which are not.

A few channels of a transformer's activations are tens of times larger than the others. A grid of one scale a tensor
has to reach them, and leaves a handful of integers to all others. A layer norm makes these channels by a weight and a
bias of its own, so that dividing by s there and multiplying the weights that read them changes nothing:

    W ((x * g + b))  ==  (W S) (x * g / s + b / s)          s_j = max|X_j|^alpha / max|W_j|^(1 - alpha)

With alpha = 1/2 the largest value of each channel and the largest weight that reads it meet at sqrt(max|X_j| max|W_j|).
All layers that read one norm (queries, keys and values) have one s. Where nothing but ReLU or the like is between two
linear layers, the first one's rows are divided in place of a norm's weight.

Source: Xiao et al. 2023, SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models,
https://arxiv.org/abs/2211.10438, section 4, equation 4.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.errors import GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import visit
from microjoule.graph.edit import by_input
from microjoule.graph.families import Family, find_families
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer, tensor_inputs
from microjoule.graph.rescale import rescale
from microjoule.records.facts import Skipped, Smoothed

# The equation ---------------------------------------------------------------------------------------------------------


def smoothing_scale(values: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """How much of each channel's range the weights take over.

        s = values^alpha / weights^(1 - alpha)

    A channel that is 0 on either side is left alone: s = 1.

    Args:
        values: (channels,), the largest |x| of each channel.
        weights: (channels,), the largest |w| that reads each channel.
        alpha: 0 evens the weights alone, 1 the values alone.

    Returns:
        (channels,), all > 0.
    """
    scale = values.pow(alpha) / weights.pow(1 - alpha)
    return torch.where((values > 0) & (weights > 0), scale, torch.ones_like(scale))


# Where it applies -----------------------------------------------------------------------------------------------------


def find_groups(network: Network) -> tuple[list[Family], list[Skipped]]:
    """Every norm and linear layer whose channels can be divided, in order; and why the others' cannot be."""
    families, reasons = find_families(network, norms=True)
    others = {layer.path for layer in network.layers if layer.kind != "linear"}
    found, skipped = [], [reason for reason in reasons if reason.place not in others]
    for family in families:
        reader = next((one.layer.path for one in family.readers if one.layer.kind != "linear"), None)
        if family.first.path not in others and reader is None:
            found.append(family)
        elif family.first.path not in others:
            skipped.append(Skipped(family.first.path, f"{reader}, which reads it, is no linear layer"))
    order = {node: index for index, node in enumerate(network.graph.nodes)}
    return sorted(found, key=lambda family: order[family.first.node]), skipped


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
@returns
def smooth(
    network: Network, data: Any, *, alpha: float = 0.5, samples: int | None = None, device: Device = None
) -> Smoothed:
    """Move what is uneven in activations into the weights that read them, in place; the network computes the same.

    Args:
        network: a network without quantizers.
        data: inputs, in any form that `batches` takes; labels are not read.
        alpha: how much is moved: 0 evens the weights alone, 1 the activations alone.
        samples: how many samples to use; None for all.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The scales of each group, and where smoothing does not apply, with the reason.

    Raises:
        GraphError: if the network has quantizers.
        SettingError: unless 0 <= alpha <= 1.
        DataError: if the data is empty, not finite, or does not fit.
    """
    move(network, device)
    if not 0 <= alpha <= 1:
        raise SettingError("alpha", f"is {alpha}", remedy="choose 0 to 1, such as 0.5")
    if network.quantizers or any(layer.quantizer for layer in network.layers):
        raise GraphError("network", "has quantizers already", remedy="call mj.smooth before mj.quantize")
    groups, skipped = find_groups(network)
    found = first(batches(data, network), samples)
    reach, seen = _reaches(network, groups, found)
    scales: dict[str, tuple[float, float]] = {}
    for group in reversed(groups):  # a group changes columns of its readers, and rows of those of the group before
        values = _largest(group, [reach[_input(reader.layer)] for reader in group.readers])
        weights = (by_input(reader.layer, reader.layer.stored_weight.detach()) for reader in group.readers)
        scale = smoothing_scale(values, _largest(group, [weight.abs().amax(1) for weight in weights]), alpha)
        rescale(network, [group], [scale])
        scales[str(group)] = (scale.min().item(), scale.max().item())
    record = Smoothed(found.name, seen, alpha, dict(reversed(scales.items())), tuple(skipped))
    network.history.append(record)
    return record


def _input(layer: Layer) -> Node:
    return tensor_inputs(layer.node)[0]


def _reaches(network: Network, groups: list[Family], data: Batches) -> tuple[dict[Node, Tensor], int]:
    """The largest |x| of each channel that each reader reads, (channels,), and over how many samples."""
    reach: dict[Node, Tensor] = {}
    seen = 0

    def look(node: Node, value: Tensor) -> None:
        largest = value.abs().flatten(0, -2).amax(0)
        reach[node] = torch.maximum(reach[node], largest) if node in reach else largest

    nodes = {_input(reader.layer) for group in groups for reader in group.readers}
    for inputs, _ in track(data, "smooth", total=data.samples):
        visit(network, inputs, nodes, look)
        seen += data.count(inputs)
    return reach, seen


def _largest(group: Family, values: list[Tensor]) -> Tensor:
    """The largest value of each channel, (channels,), of one for each input of each reader, [(in_channels,)]."""
    read = zip(group.readers, values, strict=True)
    return torch.stack([reader.largest(one, group.first.out_channels) for reader, one in read]).amax(0)
