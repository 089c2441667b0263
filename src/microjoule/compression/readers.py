"""The layers that read a group's channels, as least-squares problems whose inputs can be taken out."""

from collections.abc import Mapping

import torch

from microjoule.graph.channels import ChannelGroup
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import columns_of, weight_rows
from microjoule.numerics.elimination import Reader
from microjoule.numerics.least_squares import Moments, trusted


def readers(network: Network, group: ChannelGroup, known: Mapping[str, Moments]) -> list[Reader]:
    """What becomes worse when units of a group go, each with the share that makes errors relative to its outputs.

    A depthwise layer is left out: what it makes of a channel goes with it.

    Args:
        network: the network.
        group: of that network.
        known: moments of what layers read and give, by path.
    """
    found = []
    for path in group.readers:
        layer = network.layer(path)
        if layer.in_channels > layer.groups:
            found += _problems(layer, group, known[path])
    return found


def _problems(layer: Layer, group: ChannelGroup, known: Moments) -> list[Reader]:
    """One for each group of the layer."""
    units = [columns_of(layer, channels) for channels in group.member(layer.path, "in").channels]
    second = trusted(known)
    rows, total = weight_rows(layer, layer.stored_weight.detach()), float(known.output_variance.sum())
    share = 1 / total if total > 0 else 0.0
    return [
        Reader(rows[number], second[number], torch.tensor([unit[number] for unit in units]), share)
        for number in range(layer.groups)
        if all(number in unit for unit in units)
    ]


def reading_layers(network: Network) -> list[Layer]:
    """The layers of which moments are needed: all but depthwise ones."""
    return [one for one in network.layers if one.in_channels > one.groups]
