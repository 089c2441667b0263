"""Labels of channels, carried through a whole network: the walk, whatever the labels are wanted for."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.graph.label_rules import Call, by_name, is_getitem, rule_for
from microjoule.graph.labels import Labels, Value, along
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind
from microjoule.graph.shapes import Shape, shapes

Place = tuple[str, str]
"""A path, and what the labels are there: "out", "in", "norm", "slope" or "constant"."""


class LabelWalk(ABC):
    """One walk through a network: layers begin channels and read them, other operators do to them what those say.

    What a layer's inputs have to do with its outputs, and which operators let channels pass, depends on what is to be
    done to channels: see `microjoule.graph.label_trace` (removing them) and `microjoule.graph.families` (scaling them).

    Args:
        network: the network.

    Attributes:
        values: for each node its labels; a list of them for an operator that gives several.
        places: for each place its labels: (channels,), or of a constant's own shape.
        layers: by path, the layers.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = shapes(network)
        self.labels = Labels()
        self.values: dict[Node, Any] = {}
        self.places: dict[Place, Value] = {}
        self.layers: dict[str, Layer] = {}
        for node in network.graph.nodes:
            self.values[node] = self._visit(node)

    @abstractmethod
    def operator(self, node: Node, name: str | None, shape: Shape) -> Any:
        """The labels of what a node gives that is no layer, input or stored tensor; an output is such a node as well.

        Args:
            node: the operator's, or that of a module.
            name: its kind.
            shape: of what it gives, if that is one tensor.
        """

    @abstractmethod
    def at_layer(self, layer: Layer, read: Tensor, made: Tensor) -> None:
        """Tie or fix labels at a layer.

        Args:
            layer: the layer.
            read: (in_channels,), the labels of what it reads.
            made: (out_channels,), the labels of what it makes.
        """

    def of(self, node: Node) -> Any:
        """The labels of a node's value; of a stored tensor they are made when they are first asked for."""
        if node.op == "get_attr" and self.values[node] is None:
            place = (str(node.target), "constant")
            if place not in self.places:
                shape = self.shapes[node]
                fresh = self.labels.new(torch.Size(shape).numel()).reshape(shape)
                self.places[place] = Value(fresh, shape, stored=True)
            self.values[node] = self.places[place]
        return self.values[node]

    def by_rule(self, node: Node, name: str | None, shape: Shape) -> Any:
        """What the rule of a functional operator says; without a rule, channels must stay."""
        if is_getitem(node):
            source = self.of(node.args[0])  # type: ignore[arg-type]
            if isinstance(source, list | tuple):
                return source[node.args[1]]  # type: ignore[index]
            return Value(source.labels.reshape([1] * len(shape)), shape)
        rule = rule_for(node, name)
        if rule is None:
            return self.refuse(node, f"{name or node.target} ({node.name}) is not known to leave channels apart")
        given = pytree.tree_map_only(Node, self.of, by_name(node))
        return rule(Call(self.labels, node, given, shape))

    def refuse(self, node: Node, reason: str) -> Value:
        """Nothing may be done to what a node reads, nor to what it gives."""
        for source in node.all_input_nodes:
            for value in pytree.tree_leaves(self.of(source)):
                if isinstance(value, Value):
                    self.labels.fix(value.labels, reason)
        return self.labels.rigid(self.shapes.get(node, ()), reason)

    def vector(self, value: Value, axis: int, size: int, reason: str) -> Tensor:
        """(size,): the labels along one axis, which alone may depend on it."""
        others = [one for one in value.varying if one != axis % len(value.shape)]
        if others:
            self.labels.fix(value.labels, reason)
            value = self.labels.rigid(value.shape, reason)
        return value.labels.flatten().expand(size)

    def note(self, place: Place, vector: Tensor) -> None:
        """Keep the labels of a place; where it is used twice, both uses go together.

        Args:
            place: of a layer, norm or slope.
            vector: (channels,), the labels there.
        """
        known = self.places.setdefault(place, Value(vector, (len(vector),)))
        self.labels.tie(known.labels, vector)

    def make(self, path: str, channels: int, axis: int, shape: Shape) -> Value:
        """What makes channels gives: labels of its own, the same each time that it is used."""
        if (path, "out") not in self.places:
            self.note((path, "out"), self.labels.new(channels))
        return along(self.places[path, "out"].labels, axis, shape)

    def _visit(self, node: Node) -> Any:
        shape = self.shapes.get(node, ())
        if node.op == "placeholder":
            reason = "its channels meet an input of the network"
            return self.labels.rigid(shape, reason) if node in self.shapes else None
        if node.op == "get_attr":
            return None
        layer = Layer.at(self.network.module, node)
        if layer is not None:
            return self._layer(layer, shape)
        return self.operator(node, kind(self.network.module, node), shape)

    def _layer(self, layer: Layer, shape: Shape) -> Value:
        path, axis, source = layer.path, layer.channel_axis, self.of(layer.node.all_input_nodes[0])
        read = self.vector(source, axis, layer.in_channels, f"{path} reads another dimension than the channels")
        self.layers.setdefault(path, layer)
        self.note((path, "in"), read)
        made = self.make(path, layer.out_channels, axis, shape)
        self.at_layer(layer, read, made.labels.flatten())
        return made
