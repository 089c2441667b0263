"""Batch-norm folding: a batch norm's scale and shift go into the layer before or after it, or become a layer.

After a layer,  bn(W x + b) = (g W) x + g (b - mean) + beta,  g = gamma / sqrt(var + eps).
Before a layer, W bn(x) + b = (W g) x + b + sum over the kernel of W (beta - g mean), which holds for a convolution only
where it reads no zero padding.

What only moves values between the two (tokens flattened, a transposition) is looked through. A batch norm that no layer
can take is a layer by itself: a depthwise convolution of width 1 with weight g and bias beta - g mean, or g x + (beta -
g mean) where there is nothing but samples and channels. Integer targets run both.

What batch norms knew stays: the layer's output is distributed about as N(beta, gamma^2), channel by channel.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2; Nagel et al. 2019,
https://arxiv.org/abs/1906.04721, section 3.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.graph.edit import bias_of, per_input, set_bias, set_weight
from microjoule.graph.geometry import meets_zeros
from microjoule.graph.network import Network, set_submodule, takes_network
from microjoule.graph.ops import Layer, arguments, aten, kind, module_at
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import calls, is_private, only_user
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import BatchNormsFolded, Skipped

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

SAMPLES = 3
"""Samples with which shapes are told apart: of one, a dimension of samples could be one of anything."""

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
"""By how many dimensions a value has."""

# The equation ---------------------------------------------------------------------------------------------------------


class ScaleShift(NamedTuple):
    """y = scale * x + shift, each (channels,)."""

    scale: Tensor
    shift: Tensor


def scale_and_shift(norm: BatchNorm) -> ScaleShift:
    """A batch norm in evaluation mode as one scale and shift a channel."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    gamma = torch.ones_like(var) if norm.weight is None else norm.weight.detach()
    beta = torch.zeros_like(var) if norm.bias is None else norm.bias.detach()
    scale = gamma.double() / torch.sqrt(var.double() + norm.eps)
    return ScaleShift(scale, beta.double() - scale * mean.double())


# Where it applies -----------------------------------------------------------------------------------------------------


@takes_network
def fold_batch_norms(network: Network) -> BatchNormsFolded:
    """Fold every batch norm that can be folded, in place, and make layers of the others; the network computes the same.

    Returns:
        Which went where, which are layers now, and which stayed, with the reason.
    """
    folded: list[tuple[str, str]] = []
    alone: dict[str, Skipped] = {}
    skipped: dict[str, Skipped] = {}
    dims = shapes(network, samples=SAMPLES)
    for node in list(network.graph.nodes):
        if kind(network.module, node) != "batch_norm":
            continue
        path = str(node.target) if node.op == "call_module" else node.name
        if path in alone:
            continue
        result = _fold(network, node, dims)
        if isinstance(result, Layer):
            folded.append((path, result.path))
        elif _make_layer(network, node, dims):
            alone[path] = Skipped(path, result)
        else:
            skipped[path] = Skipped(path, result)
    network.recompile()
    record = BatchNormsFolded(tuple(folded), tuple(skipped.values()), tuple(alone.values()))
    network.history.append(record)
    return record


def _fold(network: Network, node: Node, dims: dict[Node, Shape]) -> Layer | str:
    """Fold one batch norm; returns the layer that took it, or why none could."""
    norm = module_at(network.module, node)
    if not isinstance(norm, BatchNorm):
        return "its tensors are not stored as a batch norm's"
    if norm.running_mean is None:
        return "it keeps no running statistics"
    if len(calls(network, str(node.target))) > 1:
        return "it is used more than once"
    before, after = _layer_before(network, node, dims), _layer_after(network, node, dims)
    reason = "no layer stands directly before or after it" if before is None else _cannot_follow(network, before)
    layer = None
    if before is not None and reason is None:
        layer = before.layer
        _fold_after(network, layer, norm)
    elif after is not None:
        behind = _cannot_precede(network, after.layer, norm)
        if behind is None:
            layer = after.layer
            _fold_before(network, layer, norm, after.repeats)
        else:
            reason = behind if before is None else f"{reason}, and {behind}"
    if layer is None:
        return str(reason)
    _remove(network, node)
    return layer


class _Before(NamedTuple):
    """A layer before a batch norm, the nodes between, and whether the norm has one entry for each of its outputs."""

    layer: Layer
    between: tuple[Node, ...]
    matches: bool


def _layer_before(network: Network, node: Node, dims: dict[Node, Shape]) -> _Before | None:
    """The layer that makes what a batch norm reads, through whatever only moves values."""
    axis: int | None = 1
    value = node.all_input_nodes[0]
    between = []
    while axis is not None and kind(network.module, value) in MOVING and value in dims:
        source = value.all_input_nodes[0]
        axis = _axis_before(value, dims[source], dims[value], axis) if source in dims else None
        between.append(value)
        value = source
    layer = Layer.at(network.module, value)
    if layer is None:
        return None
    return _Before(layer, tuple(between), axis == len(dims[value]) + layer.channel_axis)


MOVING = ("reshape", "transpose")


def _axis_before(node: Node, source: Shape, made: Shape, axis: int) -> int | None:
    """Which dimension of its input becomes one of a node's dimensions, whole and alone; None if there is none."""
    if kind_of_move(node) == "transpose":
        return _order(node, len(source))[axis]
    for before, size in enumerate(source):
        if size == made[axis] and math.prod(source[:before]) == math.prod(made[:axis]):
            return before
    return None


def kind_of_move(node: Node) -> str:
    """Whether a node permutes dimensions ("transpose") or splits and joins them ("reshape")."""
    return "transpose" if node.target in (aten.permute.default, aten.transpose.int, aten.t.default) else "reshape"


def _order(node: Node, count: int) -> list[int]:
    """For each dimension of a permutation's output, that of its input."""
    args, order = arguments(node), list(range(count))
    if node.target is aten.permute.default:
        return [dim % count for dim in args["dims"]]
    one, two = (args["dim0"] % count, args["dim1"] % count) if "dim0" in args else (0, count - 1)
    order[one], order[two] = two, one
    return order


class _After(NamedTuple):
    """A layer after a batch norm, and how many of its inputs each channel is, one after another."""

    layer: Layer
    repeats: int


def _layer_after(network: Network, node: Node, dims: dict[Node, Shape]) -> _After | None:
    """The layer that alone reads a batch norm, directly or flattened."""
    user, repeats = only_user(node), 1
    if user is not None and user.target in FLATTENING and user in dims and len(dims[user]) == 2:
        shape = dims[node]
        repeats = math.prod(shape[2:])
        user = only_user(user) if dims[user] == (shape[0], shape[1] * repeats) else None
    layer = None if user is None else Layer.at(network.module, user)
    if layer is None or (repeats > 1 and layer.kind != "linear"):
        return None
    return _After(layer, repeats)


FLATTENING = (aten.flatten.using_ints, aten.reshape.default, aten.view.default)


def _cannot_follow(network: Network, before: _Before) -> str | None:
    layer = before.layer
    if any(only_user(node) is None for node in (layer.node, *before.between)):
        return f"others read the output of {layer.path} as well"
    if not is_private(network, layer):
        return f"{layer.path} is used more than once"
    if not before.matches:
        return f"it normalizes another dimension than the outputs of {layer.path}"
    return None


def _cannot_precede(network: Network, layer: Layer, norm: BatchNorm) -> str | None:
    if not is_private(network, layer):
        return f"{layer.path} is used more than once"
    if layer.node.op != "call_module":
        return f"{layer.path} is not a lifted layer"
    if bool((scale_and_shift(norm).shift == 0).all()):
        return None
    if not meets_zeros(layer):
        return None
    if layer.kind == "conv_transpose":
        return f"its shift is not the same at every output of the transposed convolution {layer.path}"
    return f"{layer.path} pads with zeros, which the batch norm's shift would have to reach"


# Applying it ----------------------------------------------------------------------------------------------------------


def _fold_after(network: Network, layer: Layer, norm: BatchNorm) -> None:
    scale, shift = scale_and_shift(norm)
    weight = layer.by_output(layer.stored_weight.detach().double())
    set_bias(network, layer, bias_of(layer).double() * scale + shift)
    set_weight(layer, layer.in_layout(weight * scale.reshape(-1, *[1] * (weight.dim() - 1))))
    _remember(network, layer.path, norm)


def _fold_before(network: Network, layer: Layer, norm: BatchNorm, repeats: int) -> None:
    scale, shift = (values.repeat_interleave(repeats) for values in scale_and_shift(norm))
    weight = layer.by_output(layer.stored_weight.detach().double())
    added = (weight * per_input(layer, shift)).flatten(1).sum(1)
    set_bias(network, layer, bias_of(layer).double() + added)
    set_weight(layer, layer.in_layout(weight * per_input(layer, scale)))


def _remember(network: Network, path: str, norm: BatchNorm) -> None:
    """How a layer's outputs are distributed."""
    if norm.weight is not None and norm.bias is not None:
        network.preactivations[path] = Gaussian(norm.bias.detach().clone(), norm.weight.detach().abs())


def _remove(network: Network, node: Node) -> None:
    path = str(node.target)
    node.replace_all_uses_with(node.all_input_nodes[0])
    network.graph.erase_node(node)
    network.module.delete_submodule(path)


def _make_layer(network: Network, node: Node, dims: dict[Node, Shape]) -> bool:
    """Let a batch norm be a layer of its own, at its path; returns whether it is one."""
    norm = module_at(network.module, node)
    if not isinstance(norm, BatchNorm) or norm.running_mean is None:
        return False
    nodes = calls(network, str(node.target))
    counts = {len(dims[one.all_input_nodes[0]]) for one in nodes}
    if len(counts) > 1:
        return False
    scale, shift = (values.to(norm.running_mean.dtype) for values in scale_and_shift(norm))
    rank, path = counts.pop(), str(node.target)
    if rank not in CONVOLUTIONS:
        _write_affine(network, nodes, path, scale, shift)
        return True
    channels = norm.num_features
    layer = CONVOLUTIONS[rank](channels, channels, 1, groups=channels, device="meta")
    layer.weight = nn.Parameter(scale.reshape(-1, *[1] * (rank - 1)).contiguous())
    layer.bias = nn.Parameter(shift.clone())
    set_submodule(network.module, path, layer.train(norm.training))
    _remember(network, path, norm)
    return True


def _write_affine(network: Network, nodes: list[Node], path: str, scale: Tensor, shift: Tensor) -> None:
    """scale * x + shift by stored tensors, (channels,) each."""
    holder = nn.Module()
    holder.register_parameter("scale", nn.Parameter(scale.clone()))
    holder.register_parameter("shift", nn.Parameter(shift.clone()))
    set_submodule(network.module, path, holder)
    for node in nodes:
        with network.graph.inserting_before(node):
            stored = [network.graph.get_attr(f"{path}.{name}") for name in ("scale", "shift")]
            scaled = network.graph.call_function(aten.mul.Tensor, (node.all_input_nodes[0], stored[0]))
            moved = network.graph.call_function(aten.add.Tensor, (scaled, stored[1]))
        node.replace_all_uses_with(moved)
        network.graph.erase_node(node)
