"""Which layers touch the same channels: a layer, and all layers that read what it makes, channel by channel."""

from dataclasses import dataclass, field

import torch
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import Activation, Layer, arguments, kind
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import is_private
from microjoule.records.facts import Skipped

ELEMENTWISE = frozenset(["relu", "leaky_relu", "prelu", "dropout", "identity"])
"""f(s x) = s f(x) for s > 0, each value by itself."""

SPATIAL = frozenset(["max_pool", "avg_pool", "upsample_nearest", "upsample_bilinear", "pad", "mean", "reshape"])
"""Likewise, each channel by itself, if channels are dimension 1."""


@dataclass(slots=True)
class Family:
    """A layer and its readers, with nothing but homogeneous functions and clamps between them.

    Args:
        first: makes the channels.
        readers: read them; together they are all that does.
        repeats: how many neighbouring inputs of each reader one channel has become (by flattening; else 1).
        activations: the clamps on the way, whose bounds scale with the channels.
    """

    first: Layer
    readers: list[Layer] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    activations: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        """The paths, as "a -> b" or "a -> b, c"."""
        return f"{self.first.path} -> {', '.join(reader.path for reader in self.readers)}"


def find_families(network: Network) -> tuple[list[Family], list[Skipped]]:
    """Every layer whose channels can be scaled without changing the network; and why the others cannot be."""
    dims = shapes(network)
    found, skipped = [], []
    for layer in network.layers:
        result = explore(network, layer, dims)
        if isinstance(result, Family):
            found.append(result)
        else:
            skipped.append(Skipped(layer.path, result))
    return found, skipped


def explore(network: Network, layer: Layer, dims: dict[Node, Shape]) -> Family | str:
    """The family that a layer begins, or why it begins none."""
    if not is_private(network, layer):
        return "it is used more than once"
    family = Family(layer)
    todo = [(user, layer.node) for user in layer.node.users]
    while todo:
        node, source = todo.pop(0)
        reader = Layer.at(network.module, node)
        if reader is not None:
            reason = _joins(network, family, reader, dims[source])
        else:
            reason = _passes(network, family, node, dims)
            todo += [(user, node) for user in node.users]
        if reason is not None:
            return reason
    return family if family.readers else "nobody reads it"


def _joins(network: Network, family: Family, reader: Layer, read: Shape) -> str | None:
    """Take a reader into a family; returns why not."""
    if not is_private(network, reader):
        return f"{reader.path}, which reads it, is used more than once"
    channels = family.first.out_channels
    if len(read) != 2 and (reader.kind == "linear") != (family.first.kind == "linear"):
        return f"{reader.path} reads another dimension than the channels"
    if reader.in_channels % channels:
        return f"{reader.path} reads {reader.in_channels} channels, not {channels}"
    if reader.path in [other.path for other in family.readers]:
        return f"{reader.path} reads it twice"
    family.readers.append(reader)
    family.repeats.append(reader.in_channels // channels)
    return None


def _passes(network: Network, family: Family, node: Node, dims: dict[Node, Shape]) -> str | None:
    """Let an operator between a layer and its readers pass channels through; returns why not."""
    name = kind(network.module, node)
    if node.op == "output":
        return "it is an output of the network"
    activation = Activation.at(network.module, node)
    if activation is not None:
        family.activations.append(node)
        if dims[node][channel_axis(family.first)] == family.first.out_channels or not is_capped(activation):
            return None
        return f"{name} ({node.name}) has a cap, and stands after flattening"
    if name in ELEMENTWISE:
        return None
    second = channel_axis(family.first) % len(dims[family.first.node]) == 1
    if name in SPATIAL and second and _is_spatial(node, str(name), dims):
        return None
    return f"{name or node.target} ({node.name}) reads it"


def channel_axis(layer: Layer) -> int:
    """The dimension of a layer's output that its channels are."""
    return -1 if layer.kind == "linear" else 1


def is_capped(activation: Activation) -> bool:
    """Whether an activation has another bound than 0."""
    bounds = (torch.as_tensor(bound) for bound in (activation.low, activation.high))
    return not all(bool(((bound == 0) | torch.isinf(bound)).all()) for bound in bounds)


def _is_spatial(node: Node, name: str, dims: dict[Node, Shape]) -> bool:
    """Whether an operator leaves samples and channels alone."""
    rank = len(dims[node.all_input_nodes[0]])
    if name == "pad":
        return not arguments(node)["value"] and len(arguments(node)["pad"]) <= 2 * (rank - 2)
    if name == "mean":
        return all(dim % rank >= 2 for dim in arguments(node)["dim"] or range(rank))
    return name != "reshape" or _flattens(node, dims)


def _flattens(node: Node, dims: dict[Node, Shape]) -> bool:
    """Whether a reshape keeps samples apart and lays each channel's values side by side."""
    before, after = dims[node.all_input_nodes[0]], dims[node]
    kept = len(after) in (len(before) - 1, len(before) - 2) and after[1] == before[1]
    return len(before) > 2 and after[0] == before[0] and (len(after) == 2 or kept)
