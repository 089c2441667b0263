"""What must be removed together with a channel: labels of all layers, norms and stored tensors that it touches."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.graph.label_walk import LabelWalk
from microjoule.graph.labels import Value, along
from microjoule.graph.network import Network
from microjoule.graph.ops import WEIGHTED, Layer, module_at
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.shapes import Shape

PASSING_MODULES = ("dropout", "quantizer")


class Trace(LabelWalk):
    """What one walk through a network finds: labels that are one class are channels to be removed at once.

    Args:
        network: the network.

    Attributes:
        classes: (labels,) for each label the number of its class, once the walk is done.
    """

    def __init__(self, network: Network) -> None:
        self._shared = _shared_weights(network)
        super().__init__(network)
        self.classes = self._rectangular()

    def operator(self, node: Node, name: str | None, shape: Shape) -> Any:
        """What stands for the channels in what a node gives; at an output they must stay."""
        if node.op == "output":
            return self.refuse(node, "its channels reach an output of the network")
        if node.op == "call_module":
            return self._module(node, str(name), shape)
        if name in WEIGHTED:
            return self.refuse(node, f"the weights of {node.name} are computed, or another's as well")
        return self.by_rule(node, name, shape)

    def at_layer(self, layer: Layer, read: Tensor, made: Tensor) -> None:
        """Inputs and outputs of a group go together; all stay if the weights cannot be made smaller.

        Args:
            layer: the layer.
            read: (in_channels,), the labels of what it reads.
            made: (out_channels,), the labels of what it makes.
        """
        if layer.groups > 1:
            self._tie_groups(layer, read, made)
        reason = _unfit(layer, self._shared)
        if reason is not None:
            self.labels.fix(read, reason)
            self.labels.fix(made, reason)

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
            return self.refuse(node, f"{name} ({path}) is not known to leave channels apart")
        vector = self.vector(value, 1, shape[1], f"{path} works across its channels")
        if isinstance(module, nn.GroupNorm):
            grouped = vector.reshape(module.num_groups, -1)
            self.labels.tie(grouped, grouped[:, :1])
        self.note((path, "slope" if name == "prelu" else "norm"), vector)
        return along(vector, 1, shape)

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


def _unfit(layer: Layer, shared: set[int]) -> str | None:
    """Why a layer's weights cannot be made smaller."""
    if layer.quantizer is not None:
        return f"the weights of {layer.path} are quantized already: prune before that"
    tensors = (layer.stored_weight, layer.bias)
    if any(id(tensor) in shared for tensor in tensors if tensor is not None):
        return f"the weights of {layer.path} are another's as well"
    return None
