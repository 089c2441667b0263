"""A layer as a chain of layers whose weights are its factors: the same function where the product is its weight.

A kernel kh x kw in two, kh x 1 and 1 x kw, has the stride, padding and dilation of one axis in each. Between factors
there is no bias and no activation, so that what is padded there is what the first factor makes of the padded input:
zeros of zeros, and for other padding modes a reflection of a reflection. A factor of one tap has a stride of 1.

Source: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866, section 3.1 (a convolution as two of one axis each).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import Layer
from microjoule.graph.split import CONVOLUTIONS, Convolution
from microjoule.graph.walk import is_private
from microjoule.numerics.low_rank import Factored
from microjoule.numerics.low_rank_shapes import Method, has_form

NAMES = {2: ("first", "second"), 3: ("first", "core", "last")}
"""What factors are called, by how many there are."""


def unfit(network: Network, layer: Layer, method: Method | None = None) -> str | None:
    """Why a layer cannot be replaced by its factors, in words; None if it can.

    Args:
        network: the network that the layer is in.
        layer: the layer.
        method: the form; None for any.
    """
    if layer.quantizer is not None:
        return "its weights are quantized already: factorize before that"
    if layer.node.op != "call_module":
        return "it is a function, not a layer with weights of its own"
    if type(layer.owner) not in (*CONVOLUTIONS, nn.Linear):
        return f"it is a {type(layer.owner).__name__}, which has no low-rank forms here"
    if not is_private(network, layer):
        return "it is used more than once"
    return _unfit_weight(layer, method)


def _unfit_weight(layer: Layer, method: Method | None) -> str | None:
    """Why a layer's weight has no factors."""
    if layer.groups > 1:
        return f"it is grouped: each of its {layer.groups} groups is a matrix of its own"
    if method is not None and not has_form(tuple(layer.stored_weight.shape), method):
        return f"the form {method} is for kernels of two axes"
    return None


def replace_by_factors(network: Network, layer: Layer, factored: Factored, bias: Tensor | None) -> tuple[str, ...]:
    """Put a chain of factors where a layer stands, in place.

    A layer at `path` becomes `path.first` and `path.second`, or `path.first`, `path.core` and `path.last`; the last one
    has the bias, and what was known about the layer's outputs is known about its. Call `network.recompile` after the
    last of such edits.

    Args:
        network: the network that the layer is in.
        layer: one that is not `unfit` for the form.
        factored: its weight as factors.
        bias: (out,), or None for none.

    Returns:
        The paths of the factors.
    """
    path, node = layer.path, layer.node
    parts = [_part(layer, factor, own) for factor, own in zip(factored.factors, _owned(layer, factored), strict=True)]
    if bias is not None:
        learns = layer.stored_weight.requires_grad if layer.bias is None else layer.bias.requires_grad
        parts[-1].bias = nn.Parameter(bias.detach().clone().to(layer.stored_weight), requires_grad=learns)
    paths = tuple(f"{path}.{name}" for name in NAMES[len(parts)])
    set_submodule(network.module, path, nn.Module().train(layer.owner.training))
    value = node.all_input_nodes[0]
    with network.graph.inserting_before(node):
        for at, part in zip(paths, parts, strict=True):
            set_submodule(network.module, at, part)
            value = network.graph.call_module(at, (value,))
    value.meta = dict(node.meta)
    node.replace_all_uses_with(value)
    network.graph.erase_node(node)
    if path in network.preactivations:
        network.preactivations[paths[-1]] = network.preactivations.pop(path)
    return paths


def _owned(layer: Layer, factored: Factored) -> list[list[bool]]:
    """For each factor and axis whether it moves there as the layer does: with its stride, padding and dilation."""
    axes = layer.stored_weight.dim() - 2
    owners = [0, 1] if factored.method == "spatial" else [0 if factored.method == "output" else 1] * axes
    return [[owner == at for owner in owners] for at in range(len(factored.factors))]


def _part(layer: Layer, weight: Tensor, own: Sequence[bool]) -> Convolution | nn.Linear:
    """A layer with a factor as its weight, and without a bias."""
    owner, made = layer.owner, nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    part = _convolution(owner, weight.shape, own) if isinstance(owner, CONVOLUTIONS) else made
    part.weight = nn.Parameter(weight.detach().clone(), requires_grad=layer.stored_weight.requires_grad)
    return part.train(owner.training)


def _convolution(owner: Convolution, shape: torch.Size, own: Sequence[bool]) -> Convolution:
    """A convolution that moves over some axes as another one does; padding "same" adds nothing to the others."""

    def mine(sizes: Sequence[int], rest: int) -> Any:
        return tuple(size if one else rest for size, one in zip(sizes, own, strict=True))

    return type(owner)(
        shape[1],
        shape[0],
        tuple(shape[2:]),  # type: ignore[arg-type]
        stride=mine(owner.stride, 1),
        padding=owner.padding if isinstance(owner.padding, str) else mine(owner.padding, 0),
        dilation=mine(owner.dilation, 1),
        bias=False,
        padding_mode=owner.padding_mode if any(own) else "zeros",
        device="meta",
    )
