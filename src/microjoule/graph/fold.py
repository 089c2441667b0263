"""Batch-norm folding: a batch norm's scale and shift go into the layer before or after it.

After a layer,  bn(W x + b) = (g W) x + g (b - mean) + beta,  g = gamma / sqrt(var + eps).
Before a layer, W bn(x) + b = (W g) x + b + sum over the kernel of W (beta - g mean), which holds for a convolution only
where it reads no zero padding.

What batch norms knew stays: the layer's output is distributed about as N(beta, gamma^2), channel by channel.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2; Nagel et al. 2019,
https://arxiv.org/abs/1906.04721, section 3.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.graph.edit import bias_of, per_input, set_bias, set_weight
from microjoule.graph.geometry import meets_zeros
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind, module_at
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import calls, is_private, only_user
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import BatchNormsFolded, Skipped

# The equation ---------------------------------------------------------------------------------------------------------


class ScaleShift(NamedTuple):
    """y = scale * x + shift, each (channels,)."""

    scale: Tensor
    shift: Tensor


def scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> ScaleShift:
    """A batch norm in evaluation mode as one scale and shift a channel."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    gamma = torch.ones_like(var) if norm.weight is None else norm.weight.detach()
    beta = torch.zeros_like(var) if norm.bias is None else norm.bias.detach()
    scale = gamma.double() / torch.sqrt(var.double() + norm.eps)
    return ScaleShift(scale, beta.double() - scale * mean.double())


# Where it applies -----------------------------------------------------------------------------------------------------


def fold_batch_norms(network: Network) -> BatchNormsFolded:
    """Fold every batch norm that can be folded, in place; the network computes the same function after.

    Returns:
        Which went where, and which stayed, with the reason.
    """
    folded: list[tuple[str, str]] = []
    skipped: dict[str, Skipped] = {}
    dims = shapes(network)
    for node in list(network.graph.nodes):
        if kind(network.module, node) != "batch_norm" or node.op != "call_module":
            continue
        path = str(node.target)
        result = _fold(network, node, dims)
        if isinstance(result, Layer):
            folded.append((path, result.path))
        else:
            skipped[path] = Skipped(path, result)
    network.recompile()
    record = BatchNormsFolded(tuple(folded), tuple(skipped.values()))
    network.history.append(record)
    return record


def _fold(network: Network, node: Node, dims: dict[Node, Shape]) -> Layer | str:
    """Fold one batch norm; returns the layer that took it, or why none could."""
    norm = module_at(network.module, node)
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    if norm.running_mean is None:
        return "it keeps no running statistics"
    if len(calls(network, str(node.target))) > 1:
        return "it is used more than once"
    user = only_user(node)
    before = Layer.at(network.module, node.all_input_nodes[0])
    after = Layer.at(network.module, user) if user is not None else None
    layer, fold = (before, _fold_after) if before is not None else (after, _fold_before)
    if layer is None:
        return "no layer stands directly before or after it"
    reason = _cannot_follow(network, layer, dims) if layer is before else _cannot_precede(network, layer, norm)
    if reason is None:
        fold(network, layer, norm)
        _remove(network, node)
    return layer if reason is None else reason


def _cannot_follow(network: Network, layer: Layer, dims: dict[Node, Shape]) -> str | None:
    if only_user(layer.node) is None:
        return f"others read the output of {layer.path} as well"
    if not is_private(network, layer):
        return f"{layer.path} is used more than once"
    if layer.kind == "linear" and len(dims[layer.node]) != 2:
        return f"it normalizes another dimension than the outputs of {layer.path}"
    return None


def _cannot_precede(network: Network, layer: Layer, norm: nn.Module) -> str | None:
    if not is_private(network, layer):
        return f"{layer.path} is used more than once"
    if layer.node.op != "call_module":
        return f"{layer.path} is not a lifted layer"
    shift = scale_and_shift(norm).shift  # type: ignore[arg-type]
    if bool((shift == 0).all()):
        return None
    if not meets_zeros(layer):
        return None
    if layer.kind == "conv_transpose":
        return f"its shift is not the same at every output of the transposed convolution {layer.path}"
    return f"{layer.path} pads with zeros, which the batch norm's shift would have to reach"


# Applying it ----------------------------------------------------------------------------------------------------------


def _fold_after(network: Network, layer: Layer, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> None:
    scale, shift = scale_and_shift(norm)
    weight = layer.by_output(layer.stored_weight.detach().double())
    set_bias(network, layer, bias_of(layer).double() * scale + shift)
    set_weight(layer, layer.in_layout(weight * scale.reshape(-1, *[1] * (weight.dim() - 1))))
    if norm.weight is not None and norm.bias is not None:
        network.preactivations[layer.path] = Gaussian(norm.bias.detach().clone(), norm.weight.detach().abs())


def _fold_before(network: Network, layer: Layer, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> None:
    scale, shift = scale_and_shift(norm)
    weight = layer.by_output(layer.stored_weight.detach().double())
    added = (weight * per_input(layer, shift)).flatten(1).sum(1)
    set_bias(network, layer, bias_of(layer).double() + added)
    set_weight(layer, layer.in_layout(weight * per_input(layer, scale)))


def _remove(network: Network, node: Node) -> None:
    path = str(node.target)
    node.replace_all_uses_with(node.all_input_nodes[0])
    network.graph.erase_node(node)
    network.module.delete_submodule(path)
