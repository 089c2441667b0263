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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.errors import GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.progress import track
from microjoule.execution.run import count, visit
from microjoule.graph.edit import by_input, scale_inputs
from microjoule.graph.families import ELEMENTWISE, Family, find_families
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, kind, module_at, tensor_inputs
from microjoule.graph.rescale import rescale
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import is_private, uses
from microjoule.records.facts import Skipped, Smoothed

ON_TOKENS = ("slice", "mean", "reshape", "transpose")
"""Operators that may leave channels alone, the last dimension."""

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


@dataclass(frozen=True, slots=True)
class Group:
    """What makes some channels, and the linear layers that read them, all that does.

    Args:
        maker: a layer norm, or the family that a linear layer begins.
        path: of the norm or layer.
        readers: of its channels.
    """

    maker: nn.LayerNorm | Family
    path: str
    readers: tuple[Layer, ...]

    def __str__(self) -> str:
        """The paths, as "a -> b, c"."""
        return f"{self.path} -> {', '.join(reader.path for reader in self.readers)}"


def find_groups(network: Network) -> tuple[list[Group], list[Skipped]]:
    """Every norm and linear layer whose channels can be divided, in order; and why the others' cannot be."""
    found: dict[Node, Group] = {}
    families, reasons = find_families(network)
    for family in families:
        if family.first.kind == "linear":
            found[family.first.node] = Group(family, family.first.path, tuple(family.readers))
    linear = {layer.path for layer in network.layers if layer.kind == "linear"}
    skipped = [reason for reason in reasons if reason.place in linear]
    dims = shapes(network)
    for node in network.graph.nodes:
        if kind(network.module, node) == "layer_norm":
            result = _at_norm(network, node, dims)
            if isinstance(result, Group):
                found[node] = result
            else:
                skipped.append(Skipped(str(node.target) if node.op == "call_module" else node.name, result))
    return [found[node] for node in network.graph.nodes if node in found], skipped


def _at_norm(network: Network, node: Node, dims: dict[Node, Shape]) -> Group | str:
    """The group that a norm begins, or why it begins none."""
    norm = module_at(network.module, node)
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None:
        return "it has no weight of its own to divide"
    if norm.weight.dim() != 1:
        return f"it normalizes {norm.weight.dim()} dimensions, not channels alone"
    if any(uses(network, parameter) != [node] for parameter in norm.parameters()):
        return "it is used more than once"
    readers: dict[str, Layer] = {}
    todo = [(user, node) for user in node.users]
    while todo:
        user, source = todo.pop(0)
        reader = Layer.at(network.module, user)
        reason = _passes(network, user, source, dims) if reader is None else _joins(network, readers, reader)
        if reason is not None:
            return reason
        todo += [] if reader is not None else [(after, user) for after in user.users]
    return Group(norm, str(node.target), tuple(readers.values())) if readers else "nobody reads it"


def _joins(network: Network, readers: dict[str, Layer], reader: Layer) -> str | None:
    """Take a reader into a group; returns why not."""
    if reader.kind != "linear":
        return f"{reader.path}, which reads it, is no linear layer"
    if not is_private(network, reader) or reader.path in readers:
        return f"{reader.path}, which reads it, is used more than once"
    readers[reader.path] = reader
    return None


def _passes(network: Network, node: Node, source: Node, dims: dict[Node, Shape]) -> str | None:
    """Why an operator between a norm and its readers does not leave each channel to itself, the last dimension."""
    name = kind(network.module, node)
    if node.op == "output":
        return "it is an output of the network"
    if name in ELEMENTWISE or (name in ON_TOKENS and _keeps_channels(node, str(name), dims[source], dims[node])):
        return None
    return f"{name or node.target} ({node.name}) reads it"


def _keeps_channels(node: Node, name: str, before: Shape, after: Shape) -> bool:
    rank, args = len(before), arguments(node)
    if name == "reshape":
        return after[-1:] == before[-1:]
    if name == "transpose" and "dims" in args:
        return bool(args["dims"][-1] % rank == rank - 1)
    touched = [args.get("dim0", -1), args.get("dim1", -1)] if name == "transpose" else args["dim"]
    touched = [touched] if isinstance(touched, int) else touched or range(rank)
    return all(dim % rank != rank - 1 for dim in touched)


# Applying it ----------------------------------------------------------------------------------------------------------


def smooth(network: Network, data: Any, *, alpha: float = 0.5, samples: int | None = None) -> Smoothed:
    """Move what is uneven in activations into the weights that read them, in place; the network computes the same.

    Args:
        network: a network without quantizers.
        data: inputs, in any form that `batches` takes; labels are not read.
        alpha: how much is moved: 0 evens the weights alone, 1 the activations alone.
        samples: how many samples to use; None for all.

    Returns:
        The scales of each group, and where smoothing does not apply, with the reason.

    Raises:
        GraphError: if the network has quantizers.
        SettingError: unless 0 <= alpha <= 1.
        DataError: if the data is empty, not finite, or does not fit.
    """
    if not 0 <= alpha <= 1:
        raise SettingError("alpha", f"is {alpha}", remedy="choose 0 to 1, such as 0.5")
    if network.quantizers or any(layer.quantizer for layer in network.layers):
        raise GraphError("network", "has quantizers already", remedy="call mj.smooth before mj.quantize")
    groups, skipped = find_groups(network)
    found = batches(data) if samples is None else first(batches(data), samples)
    reach, seen = _reaches(network, groups, found)
    scales: dict[str, tuple[float, float]] = {}
    for group in reversed(groups):  # a group changes columns of its readers, and rows of those of the group before
        values = torch.stack([reach[_input(reader)] for reader in group.readers]).amax(0)
        scale = smoothing_scale(values, _largest_weights(group), alpha)
        _divide(network, group, scale)
        scales[str(group)] = (scale.min().item(), scale.max().item())
    record = Smoothed(found.name, seen, alpha, dict(reversed(scales.items())), tuple(skipped))
    network.history.append(record)
    return record


def _input(layer: Layer) -> Node:
    return tensor_inputs(layer.node)[0]


def _reaches(network: Network, groups: list[Group], data: Batches) -> tuple[dict[Node, Tensor], int]:
    """The largest |x| of each channel that each reader reads, (channels,), and over how many samples."""
    reach: dict[Node, Tensor] = {}
    seen = 0

    def look(node: Node, value: Tensor) -> None:
        largest = value.abs().flatten(0, -2).amax(0)
        reach[node] = torch.maximum(reach[node], largest) if node in reach else largest

    nodes = {_input(reader) for group in groups for reader in group.readers}
    for inputs, _ in track(data, "smooth", total=data.samples):
        visit(network, inputs, nodes, look)
        seen += count(inputs)
    return reach, seen


def _largest_weights(group: Group) -> Tensor:
    """The largest |w| that reads each channel, (channels,)."""
    weights = (by_input(reader, reader.stored_weight.detach()) for reader in group.readers)
    return torch.stack([weight.abs().amax(1) for weight in weights]).amax(0)


def _divide(network: Network, group: Group, scale: Tensor) -> None:
    if isinstance(group.maker, Family):
        rescale(network, [group.maker], [scale])
        return
    with torch.no_grad():
        for parameter in (group.maker.weight, group.maker.bias):
            if parameter is not None:
                parameter.div_(scale)
    for reader in group.readers:
        scale_inputs(reader, scale)
