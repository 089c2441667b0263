"""Edits that every technique needs: change a layer's weight, bias and channels' scales, put a quantizer somewhere."""

import itertools
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn.utils import parametrize

from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import Activation, Layer, aten
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.shapes import Shape
from microjoule.numerics.gaussian import Gaussian


def set_weight(layer: Layer, weight: Tensor) -> None:
    """Store a weight; a quantizer on it stays.

    Args:
        layer: the layer.
        weight: of the stored weight's shape.
    """
    with torch.no_grad():
        layer.stored_weight.copy_(weight)


def set_bias(network: Network, layer: Layer, bias: Tensor) -> None:
    """Store a bias, which the layer gets if it has none.

    Args:
        network: the network that the layer is in.
        layer: the layer.
        bias: (out_channels,).
    """
    if layer.bias is not None:
        with torch.no_grad():
            layer.bias.copy_(bias)
        return
    parameter = nn.Parameter(bias.detach().clone().to(layer.stored_weight.dtype))
    if layer.node.op == "call_module":
        layer.owner.register_parameter("bias", parameter)
        return
    name = f"{layer.weight_name}_bias"
    layer.owner.register_parameter(name, parameter)
    with network.graph.inserting_before(layer.node):
        stored = network.graph.get_attr(f"{layer.path.rpartition('.')[0]}.{name}".lstrip("."))
    weighted, weight, *rest = layer.node.args
    layer.node.args = (weighted, weight, stored, *rest[1:])


def bias_of(layer: Layer) -> Tensor:
    """(out_channels,): the layer's bias, or zeros if it has none."""
    bias = layer.bias
    return layer.stored_weight.new_zeros(layer.out_channels) if bias is None else bias.detach()


def scale_outputs(network: Network, layer: Layer, scale: Tensor) -> None:
    """Multiply what a layer gives, channel by channel, and what is known about it.

    Args:
        network: the network that the layer is in.
        layer: the layer.
        scale: (out_channels,), > 0.
    """
    weight = layer.by_output(layer.stored_weight.detach())
    set_weight(layer, layer.in_layout(weight * _column(scale, weight)))
    if layer.bias is not None:
        set_bias(network, layer, bias_of(layer) * scale)
    if layer.path in network.preactivations:
        known = network.preactivations[layer.path]
        network.preactivations[layer.path] = Gaussian(known.mean * scale, known.std * scale)


def scale_inputs(layer: Layer, scale: Tensor) -> None:
    """Multiply the weights that read each input channel.

    Args:
        layer: the layer.
        scale: (in_channels,), > 0.
    """
    weight = layer.by_output(layer.stored_weight.detach())
    set_weight(layer, layer.in_layout(weight * per_input(layer, scale)))


def per_input(layer: Layer, values: Tensor) -> Tensor:
    """One value an input channel, shaped to broadcast against the weight by output.

    Args:
        layer: the layer.
        values: (in_channels,).

    Returns:
        (out_channels, in_channels / groups, 1, ...).
    """
    rows = values.reshape(layer.groups, 1, -1).expand(-1, layer.out_channels // layer.groups, -1).flatten(0, 1)
    return rows.reshape(*rows.shape, *[1] * (layer.stored_weight.dim() - 2))


def by_input(layer: Layer, weight: Tensor) -> Tensor:
    """Per input channel, all weights that read it.

    Args:
        layer: the layer.
        weight: (out_channels, in_channels / groups, *kernel).

    Returns:
        (in_channels, out_channels / groups * kernel size).
    """
    grouped: Tensor = weight.unflatten(0, (layer.groups, -1))
    return grouped.transpose(1, 2).flatten(0, 1).flatten(1)


def _column(values: Tensor, weight: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (weight.dim() - 1))


def clamp_channels(network: Network, node: Node, low: Tensor, high: Tensor) -> Node:
    """Replace an activation by a clamp with bounds of its own for each channel; both are stored with the network.

    Args:
        network: the network.
        node: a node that `Activation.at` reads.
        low: (channels, 1, ...), or any shape that broadcasts against the value.
        high: as `low`.

    Returns:
        The node that stands there now.
    """
    path = next((str(source.target) for source in node.all_input_nodes[1:]), "").rpartition(".")[0]
    if path.startswith("clamps."):
        holder = network.module.get_submodule(path)
        holder.low, holder.high = low.detach().clone(), high.detach().clone()
        return node
    holder = nn.Module()
    holder.register_buffer("low", low.detach().clone())
    holder.register_buffer("high", high.detach().clone())
    set_submodule(network.module, f"clamps.{node.name}", holder)
    with network.graph.inserting_before(node):
        bounds = [network.graph.get_attr(f"clamps.{node.name}.{name}") for name in ("low", "high")]
        clamp = network.graph.call_function(aten.clamp.Tensor, (node.args[0], *bounds))
    clamp.meta = dict(node.meta)
    node.replace_all_uses_with(clamp)
    network.graph.erase_node(node)
    return clamp


def bounds_of(network: Network, node: Node, like: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """An activation's bounds as tensors, one number a channel.

    Args:
        network: the network.
        node: a node that `Activation.at` reads.
        like: (channels,), for size, device and type.
        dims: how many dimensions the value has after its channels.

    Returns:
        low and high, (channels, 1, ...) with `dims` ones.
    """
    activation = Activation.at(network.module, node)
    assert activation is not None
    shape = (like.shape[0], *[1] * dims)
    bounds = (activation.low, activation.high)
    flat = (torch.as_tensor(bound, dtype=like.dtype, device=like.device).flatten() for bound in bounds)
    low, high = (bound.expand(like.shape[0]).reshape(shape).clone() for bound in flat)
    return low, high


class Builder:
    """Adds nodes in front of one that they are to replace.

    Args:
        network: the network.
        node: the one to be replaced.
        known: shape and type of each value that the network had.
    """

    def __init__(self, network: Network, node: Node, known: Mapping[Node, tuple[Shape, torch.dtype]]) -> None:
        self.network = network
        self.node = node
        self.known = known

    def __call__(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        """A node that calls an operator."""
        with self.network.graph.inserting_before(self.node):
            return self.network.graph.call_function(target, args, kwargs)

    def getitem(self, values: Node, index: int) -> Node:
        """One of several outputs."""
        return self(operator.getitem, values, index)


def store_operand(network: Network, values: Tensor, before: Node) -> Node:
    """Store a tensor that an operator is to read, under a name made from the operator's.

    Args:
        network: the network.
        values: any shape.
        before: the node before which it is read.

    Returns:
        The node that reads it.
    """
    operands = getattr(network.module, "operands", None)
    taken = set() if operands is None else {name for name, _ in operands.named_children()}
    tries = itertools.chain((before.name,), (f"{before.name}_{number}" for number in itertools.count(2)))
    path = f"operands.{next(name for name in tries if name not in taken)}"
    holder = nn.Module()
    holder.register_buffer("value", values.detach().clone().to(network.device))
    set_submodule(network.module, path, holder)
    with network.graph.inserting_before(before):
        return network.graph.get_attr(f"{path}.value")


def insert_quantizer(network: Network, node: Node, quantizer: Quantizer) -> Node:
    """Put a quantizer on a value; everyone who read the value reads the quantized one."""
    set_submodule(network.module, f"quantizers.{node.name}", quantizer)
    with network.graph.inserting_after(node):
        quantized = network.graph.call_module(f"quantizers.{node.name}", (node,))
    quantized.meta = dict(node.meta)
    node.replace_all_uses_with(quantized, delete_user_cb=lambda user: user is not quantized)
    return quantized


def quantize_weight(layer: Layer, quantizer: Quantizer) -> None:
    """Put a quantizer on a layer's weight, in place of one that may be there."""
    if layer.quantizer is not None:
        parametrize.remove_parametrizations(layer.owner, layer.weight_name, leave_parametrized=False)
    parametrize.register_parametrization(layer.owner, layer.weight_name, quantizer)
