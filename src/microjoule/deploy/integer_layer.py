"""A layer's weight and bias as the integers that a target stores.

    x = s_x (q_x - z_x),  w = s_w (q_w - z_w):    w x + b  =  s_x s_w ( sum (q_w - z_w)(q_x - z_x)  +  b / (s_x s_w) )

so the bias is added to the sum as an integer of 32 bits, with the scale s_x s_w and the zero point 0.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 2.4.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from microjoule.graph.ops import Layer
from microjoule.numerics.affine import Affine, along, quantize
from microjoule.quantization.bias_grid import sum_scale, with_room


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """What a target stores of a layer.

    Args:
        weight: int32, in the layer's own layout.
        affine: of the weight.
        bias: (out_channels,), int32, or None.
        scale: (out_channels,) or (), float64, of the sum and of the bias.
        coarsened: channels whose weights got a larger scale, as their bias would not fit into 32 bits otherwise.
    """

    weight: Tensor
    affine: Affine
    bias: Tensor | None
    scale: Tensor
    coarsened: int = 0


def integer_weight(layer: Layer) -> tuple[Tensor, Affine]:
    """A quantized layer's weight as int32 in its own layout, and its grid with one scale a tensor or a channel."""
    assert layer.quantizer is not None
    affine = layer.quantizer.affine
    weight = quantize(layer.weight.detach(), affine)
    if affine.scheme.block is None:
        return weight, affine
    scheme = replace(affine.scheme, block=None)
    per_channel = [along(v, weight, affine.scheme).flatten() for v in (affine.scale, affine.zero_point)]
    return weight, Affine(scheme, *per_channel)


def integer_layer(layer: Layer, input_scale: Tensor) -> IntegerLayer:
    """A quantized layer as integers.

    Args:
        layer: a layer with a quantizer on its weight.
        input_scale: (), of what it reads.
    """
    weight, affine = integer_weight(layer)
    roomy = with_room(layer, weight, affine, input_scale.item())
    grown = roomy.scale > affine.scale
    if not torch.equal(roomy.scale, affine.scale):
        affine, weight = roomy, quantize(layer.weight.detach(), roomy)
    scale = sum_scale(layer, affine, input_scale)
    bias = None if layer.bias is None else torch.round(layer.bias.detach().double() / scale).to(torch.int32)
    return IntegerLayer(weight, affine, bias, scale, int(grown.sum()))
