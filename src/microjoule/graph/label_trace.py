"""Labels of channels, carried through a whole network: which layers make them, read them, or hold a number for each."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.graph.label_rules import by_name, is_getitem, rule_for
from microjoule.graph.labels import Labels, Value, along
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind, module_at
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.shapes import Shape, shapes

Place = tuple[str, str]
"""A path, and what the labels are there: "out", "in", "norm", "slope" or "constant"."""

PASSING_MODULES = ("dropout", "quantizer")


class Trace:
    """What one walk through a network finds.

    Args:
        network: the network.

    Attributes:
        values: for each node its labels; a list of them for an operator that gives several.
        places: for each place its labels: (channels,), or of a constant's own shape.
        classes: (labels,) for each label the number of its class, once the walk is done.
        nodes: by path, the first node that calls or reads what is there.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = shapes(network)
        self.labels = Labels()
        self.values: dict[Node, Any] = {}
        self.places: dict[Place, Value] = {}
        self.layers: dict[str, Layer] = {}
        self._shared = _shared_weights(network)
        for node in network.graph.nodes:
            self.values[node] = self._visit(node)
        self.classes = self._rectangular()

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

    def _visit(self, node: Node) -> Any:
        shape = self.shapes.get(node, ())
        if node.op == "placeholder":
            return (
                self.labels.rigid(shape, "its channels meet an input of the network") if node in self.shapes else None
            )
        if node.op == "get_attr":
            return None
        if node.op == "output":
            return self._refuse(node, "its channels reach an output of the network")
        layer = Layer.at(self.network.module, node)
        if layer is not None:
            return self._layer(layer, shape)
        name = kind(self.network.module, node)
        if node.op == "call_module":
            return self._module(node, str(name), shape)
        return self._function(node, name, shape)

    def _function(self, node: Node, name: str | None, shape: Shape) -> Any:
        if is_getitem(node):
            source = self.of(node.args[0])  # type: ignore[arg-type]
            if isinstance(source, list | tuple):
                return source[node.args[1]]  # type: ignore[index]
            return Value(source.labels.reshape([1] * len(shape)), shape)
        rule = rule_for(node, name)
        if rule is None:
            return self._refuse(node, f"{name or node.target} ({node.name}) is not known to leave channels apart")
        given = pytree.tree_map_only(Node, self.of, by_name(node))
        return rule(self.labels, node, given, shape)

    def _refuse(self, node: Node, reason: str) -> Any:
        """Nothing that a node reads may go, and nothing of what it gives."""
        for source in node.all_input_nodes:
            for value in pytree.tree_leaves(self.of(source)):
                if isinstance(value, Value):
                    self.labels.fix(value.labels, reason)
        return self.labels.rigid(self.shapes.get(node, ()), reason)

    def _module(self, node: Node, name: str, shape: Shape) -> Any:
        """A module that is no layer: a norm, a slope a channel, or one that passes channels on."""
        module, path = module_at(self.network.module, node), str(node.target)
        value = self.of(node.all_input_nodes[0])
        if name in PASSING_MODULES and not _by_channel(module):
            return value
        if isinstance(module, nn.PReLU) and module.num_parameters == 1:
            return value
        if isinstance(module, nn.LayerNorm):
            axes = tuple(range(-len(module.normalized_shape), 0))
            return self.labels.whole(value, axes, f"the layer norm {path} works across its channels")
        if name not in ("batch_norm", "group_norm", "prelu"):
            return self._refuse(node, f"{name} ({path}) is not known to leave channels apart")
        vector = self._vector(value, 1, shape[1], f"{path} works across its channels")
        if isinstance(module, nn.GroupNorm):
            grouped = vector.reshape(module.num_groups, -1)
            self.labels.tie(grouped, grouped[:, :1])
        self._note((path, "slope" if name == "prelu" else "norm"), vector)
        return along(vector, 1, shape)

    def _vector(self, value: Value, axis: int, size: int, reason: str) -> Tensor:
        """(size,): the labels along one axis, which alone may depend on it."""
        others = [one for one in value.varying if one != axis % len(value.shape)]
        if others:
            self.labels.fix(value.labels, reason)
            value = self.labels.rigid(value.shape, reason)
        return value.labels.flatten().expand(size)

    def _note(self, place: Place, vector: Tensor) -> None:
        """Keep the labels of a place; where it is used twice, both uses go together."""
        known = self.places.setdefault(place, Value(vector, (len(vector),)))
        self.labels.tie(known.labels, vector)

    def _layer(self, layer: Layer, shape: Shape) -> Value:
        path, source = layer.path, layer.node.all_input_nodes[0]
        axis = -1 if layer.kind == "linear" else len(shape) - (layer.stored_weight.dim() - 1)
        read = self._vector(self.of(source), axis, layer.in_channels, f"{path} reads another axis than its channels")
        self.layers.setdefault(path, layer)
        self._note((path, "in"), read)
        if (path, "out") not in self.places:
            self._note((path, "out"), self.labels.new(layer.out_channels))
        made = self.places[path, "out"].labels
        if layer.groups > 1:
            self._tie_groups(layer, read, made)
        reason = _unfit(self.network, layer, self._shared)
        if reason is not None:
            self.labels.fix(read, reason)
            self.labels.fix(made, reason)
        return along(made, axis, shape)

    def _tie_groups(self, layer: Layer, read: Tensor, made: Tensor) -> None:
        """One input a group: it goes with the group's outputs. Several: each place goes in all groups at once."""
        ins, outs = read.reshape(layer.groups, -1), made.reshape(layer.groups, -1)
        if ins.shape[1] == 1:
            self.labels.tie(outs, ins)
        else:
            self.labels.tie(ins, ins[:1])
            self.labels.tie(outs, outs[:1])

    def _rectangular(self) -> Tensor:
        """Tie until what is left of every value is a value: until classes depend on one axis each; gives the classes.

        Of several axes (a channel axis that was split), the longest stays free.
        """
        known = {id(value): value for value in pytree.tree_leaves((list(self.values.values()), self.places))}
        values = [value for value in known.values() if isinstance(value, Value) and len(value.varying) > 1]
        while True:
            classes, done = self.labels.classes(), True
            for value in values:
                numbers = classes[value.labels]
                axes = [axis for axis in value.varying if not _same_along(numbers, axis)]
                free = max(axes, key=lambda axis: value.shape[axis], default=0)
                for axis in axes:
                    if axis != free:
                        self.labels.tie(value.labels, value.labels.narrow(axis, 0, 1))
                        done = False
            if done:
                return classes


def _same_along(numbers: Tensor, axis: int) -> bool:
    return torch.equal(numbers, numbers.narrow(axis, 0, 1).expand_as(numbers))


def _by_channel(module: nn.Module | None) -> bool:
    """Whether a quantizer has a scale for each channel."""
    return isinstance(module, Quantizer) and module.scale is not None and module.scale.numel() > 1


def _shared_weights(network: Network) -> set[int]:
    """The weights and biases that several modules hold, or that are read by others than layers, by their ids."""
    owners: dict[int, set[tuple[int, str]]] = defaultdict(set)
    for module in network.module.modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners[id(parameter)].add((id(module), name))
    shared = {tensor for tensor, places in owners.items() if len(places) > 1}
    for node in network.graph.nodes:
        if node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")
            stored = getattr(network.module.get_submodule(path), name)
            users = [Layer.at(network.module, user) for user in node.users]
            held = any(one is not None and stored is not one.bias and stored is not one.weight for one in users)
            if None in users or held:
                shared.add(id(stored))
    return shared


def _unfit(network: Network, layer: Layer, shared: set[int]) -> str | None:
    """Why a layer's weights cannot be made smaller."""
    if layer.quantizer is not None:
        return f"the weights of {layer.path} are quantized already: prune before that"
    tensors = (layer.stored_weight, layer.bias)
    if any(id(tensor) in shared for tensor in tensors if tensor is not None):
        return f"the weights of {layer.path} are another's as well"
    return None
