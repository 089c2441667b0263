"""Which channels of each layer stay when units of channel groups go."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.graph.channels import ChannelGroup
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import columns_of


@dataclass(frozen=True, slots=True)
class Cut:
    """What stays of a layer.

    Args:
        ins: (in_channels,), true for the input channels that stay.
        outs: (out_channels,), likewise.
    """

    ins: Tensor
    outs: Tensor

    @property
    def whole(self) -> bool:
        """Whether all stays."""
        return bool(self.ins.all()) and bool(self.outs.all())

    def shape(self, layer: Layer) -> tuple[int, ...]:
        """The shape of the weight that is left, (out, in / groups, *kernel)."""
        ins, outs = int(self.ins.sum()), int(self.outs.sum())
        each = 1 if layer.in_channels == layer.groups else ins // layer.groups
        return outs, each, *layer.stored_weight.shape[2:]

    def columns(self, layer: Layer) -> Tensor:
        """(groups, inputs that stay): of `weight_rows`; all of them where whole groups go."""
        if layer.in_channels == layer.groups:
            return torch.arange(layer.stored_weight.shape[2:].numel()).expand(layer.groups, -1)
        found = columns_of(layer, torch.nonzero(self.ins).flatten().tolist())
        return torch.tensor([found[group] for group in range(layer.groups)])


def cuts(network: Network, groups: Iterable[ChannelGroup], removed: Mapping[str, Collection[int]]) -> dict[str, Cut]:
    """What stays of every layer, by path.

    Args:
        network: the network.
        groups: its channel groups.
        removed: for some groups, by name, the units that go.
    """
    found = {layer.path: _all(layer) for layer in network.layers}
    for group in groups:
        for member in group.members:
            if member.side not in ("in", "out"):
                continue
            side = found[member.path].ins if member.side == "in" else found[member.path].outs
            for unit in removed.get(group.name, ()):
                side[list(member.channels[unit])] = False
    return found


def _all(layer: Layer) -> Cut:
    return Cut(*(torch.ones(count, dtype=torch.bool) for count in (layer.in_channels, layer.out_channels)))
