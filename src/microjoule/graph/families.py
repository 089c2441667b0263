"""Which channels can be scaled: those a layer makes, if all that reads them is layers, through functions that scale.

Labels of channels are carried through the graph (`microjoule.graph.label_walk`), as they are to find what is removed
together. Here a layer ties nothing, as it is itself what takes up a scale; functions that are not positively
homogeneous channel by channel fix the labels of what they read. Where a layer's labels neither meet others nor are
fixed, they say which inputs of which layers each of its channels is.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.graph.activation import Activation
from microjoule.graph.label_walk import LabelWalk
from microjoule.graph.labels import Value
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, module_at, tensor_inputs
from microjoule.graph.shapes import Shape
from microjoule.graph.walk import is_private, uses
from microjoule.records.facts import Skipped

ELEMENTWISE = frozenset(["relu", "leaky_relu", "prelu", "dropout", "identity"])
"""f(s x) = s f(x) for s > 0, each value by itself."""

LINEAR = frozenset(
    (
        *("max_pool", "avg_pool", "upsample_nearest", "upsample_bilinear", "pad", "mean", "sum"),
        *("reshape", "transpose", "expand", "slice", "split", "getitem", "flip", "concat", "stack", "size"),
    )
)
"""Likewise, wherever their rules (`microjoule.graph.label_rules`) leave channels apart; padding with 0 alone."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A layer that reads channels of another.

    Args:
        layer: the reader.
        channels: (in_channels,), for each of its inputs the channel that it is, or -1 if it is none of these.
    """

    layer: Layer
    channels: Tensor

    def spread(self, values: Tensor, other: float = 1.0) -> Tensor:
        """One value for each input.

        Args:
            values: (channels,), one for each channel that is read.
            other: for inputs that are none of these.

        Returns:
            (in_channels,).
        """
        return torch.cat([values, values.new_full((1,), other)])[self.channels]

    def largest(self, values: Tensor, channels: int) -> Tensor:
        """Of each channel the largest of several values, 0 for one that is not read.

        Args:
            values: (in_channels,), >= 0, one for each input.
            channels: how many channels there are.

        Returns:
            (channels,).
        """
        places = self.channels.to(values.device) % (channels + 1)
        return values.new_zeros(channels + 1).scatter_reduce(0, places, values, "amax")[:-1]


@dataclass(slots=True)
class Family:
    """A layer and its readers, with nothing but homogeneous functions and clamps between them.

    Args:
        first: makes the channels; a layer norm counts as a layer here, of kind "layer_norm".
        readers: read them; together they are all that does.
        activations: the clamps on the way, whose bounds scale with the channels; for each, how many dimensions its
            value has after its channels.
    """

    first: Layer
    readers: list[Reader] = field(default_factory=list)
    activations: dict[Node, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """The paths, as "a -> b" or "a -> b, c"."""
        return f"{self.first.path} -> {', '.join(reader.layer.path for reader in self.readers)}"


def find_families(network: Network, *, norms: bool = False) -> tuple[list[Family], list[Skipped]]:
    """Every layer whose channels can be scaled without changing the network; and why the others cannot be.

    Args:
        network: the network.
        norms: whether to look at layer norms as well, after the layers.
    """
    walk = _Scaling(network)
    begun = walk.families(walk.layers | walk.norms if norms else walk.layers)
    skipped = [Skipped(path, reason) for path, reason in begun.items() if isinstance(reason, str)]
    return [family for family in begun.values() if isinstance(family, Family)], skipped


class _Scaling(LabelWalk):
    """Labels that are one class must be scaled by one number; those that are fixed must not be scaled.

    Attributes:
        norms: by path, layer norms, as layers.
        clamps: the labels of what passes through clamps.
    """

    def __init__(self, network: Network) -> None:
        self.norms: dict[str, Layer] = {}
        self.clamps: dict[Node, Value] = {}
        super().__init__(network)

    def of(self, node: Node) -> Any:
        """The labels of a node's value; a stored tensor has one for all of it, as nobody scales it."""
        if node.op == "get_attr" and self.values[node] is None:
            self.values[node] = self.labels.rigid(self.shapes[node], f"it meets {node.target}, which is stored")
        return super().of(node)

    def operator(self, node: Node, name: str | None, shape: Shape) -> Any:
        """What scales with what it reads passes channels on; all else fixes them."""
        if node.op == "output":
            return self.refuse(node, "it is an output of the network")
        activation = Activation.at(self.network.module, node)
        if (activation is not None or name in ELEMENTWISE) and len(tensor_inputs(node)) == 1:
            value = self.of(node.all_input_nodes[0])
            if activation is not None:
                self._clamp(node, value, activation, f"{name} ({node.name})")
            return value
        if name in LINEAR and not (name == "pad" and arguments(node)["value"]):
            return self.by_rule(node, name, shape)
        refused = self.refuse(node, f"{name or node.target} ({node.name}) reads it")
        return self._norm(node, shape) if name == "layer_norm" else refused

    def at_layer(self, layer: Layer, read: Tensor, made: Tensor) -> None:
        """Weights that others use as well cannot take up a scale."""
        if not is_private(self.network, layer):
            self.labels.fix(made, "it is used more than once")
            self.labels.fix(read, f"{layer.path}, which reads it, is used more than once")

    def _clamp(self, node: Node, value: Value, activation: Activation, name: str) -> None:
        """A cap becomes one number a channel, so that all of a layer's channels must be there, in their order."""
        self.clamps[node] = value
        bounds = [torch.as_tensor(bound) for bound in (activation.low, activation.high)]
        several = [bound for bound in bounds if bound.numel() > 1]
        if not several and not is_capped(activation):
            return
        flat, (axis, *others) = value.labels.flatten(), value.varying or (0,)
        made = (place.labels for (_, side), place in self.places.items() if side == "out")
        if others or not any(torch.equal(flat, labels) for labels in made):
            self.labels.fix(flat, f"{name} has a cap, and stands after flattening, splitting or joining")
        elif any(_by_channel(bound, len(value.shape) - axis) != len(flat) for bound in several):
            self.labels.fix(flat, f"{name} has other bounds than one for each channel")

    def _norm(self, node: Node, shape: Shape) -> Value:
        """A layer norm makes channels, as a layer does, of its last dimension."""
        norm = module_at(self.network.module, node)
        path = node.name if norm is None else str(node.target)
        bias = "bias" if getattr(norm, "bias", None) is not None else None
        self.norms[path] = Layer(node, path, "layer_norm", norm or self.network.module, "weight", bias, 1)
        made = self.make(path, shape[-1], -1, shape)
        if not isinstance(norm, nn.LayerNorm) or norm.weight is None:
            self.labels.fix(made.labels, "it has no weight of its own to divide")
        elif norm.weight.dim() != 1:
            self.labels.fix(made.labels, f"it normalizes {norm.weight.dim()} dimensions, not channels alone")
        elif any(uses(self.network, parameter) != [node] for parameter in norm.parameters()):
            self.labels.fix(made.labels, "it is used more than once")
        return made

    def families(self, makers: dict[str, Layer]) -> dict[str, Family | str]:
        """For each of some layers and norms its family, or why it begins none."""
        classes = self.labels.classes()
        begun = self._begun(makers, classes)
        found = [one for one in begun.values() if isinstance(one, Family)]
        owner = torch.full((self.labels.count,), -1)
        channel = owner.clone()
        for index, family in enumerate(found):
            made = classes[self.places[family.first.path, "out"].labels]
            owner[made], channel[made] = index, torch.arange(len(made))
        for path, layer in self.layers.items():
            read = classes[self.places[path, "in"].labels]
            for index in _those(owner[read]):
                found[index].readers.append(Reader(layer, torch.where(owner[read] == index, channel[read], -1)))
        for node, value in self.clamps.items():
            for index in _those(owner[classes[value.labels]]):
                found[index].activations[node] = len(value.shape) - 1 - (*value.varying, 0)[0]
        unread = {family.first.path: "nobody reads it" for family in found if not family.readers}
        return begun | unread

    def _begun(self, makers: dict[str, Layer], classes: Tensor) -> dict[str, Family | str]:
        """For each of some layers and norms a family without readers, or why it begins none."""
        tied, sizes = self.labels.first_fixed(classes)[classes], torch.bincount(classes)
        direct = self.labels.first_fixed(torch.arange(self.labels.count))
        begun: dict[str, Family | str] = {}
        for path, first in makers.items():
            made = self.places[path, "out"].labels
            known = next((index for index in torch.cat([direct[made], tied[made]]).tolist() if index >= 0), None)
            if known is not None:
                begun[path] = self.labels.fixed[known][1]
            elif bool((sizes[classes[made]] > 1).any()):
                begun[path] = "its channels meet each other, or others"
            else:
                begun[path] = Family(first)
        return begun


def _by_channel(bound: Tensor, place: int) -> int:
    """How many numbers a bound has along the channels, if it differs along nothing else; else 0.

    Args:
        bound: any shape.
        place: of the channels' dimension, counted from the last one, which is 1.
    """
    return bound.shape[-place] if bound.dim() >= place and bound.shape[-place] == bound.numel() else 0


def _those(owner: Tensor) -> list[int]:
    """The families among the owners of some channels."""
    return [index for index in owner.unique().tolist() if index >= 0]


def is_capped(activation: Activation) -> bool:
    """Whether an activation has another bound than 0."""
    bounds = (torch.as_tensor(bound) for bound in (activation.low, activation.high))
    return not all(bool(((bound == 0) | torch.isinf(bound)).all()) for bound in bounds)
