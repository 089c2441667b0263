"""Scales of weights that leave room for the bias, and biases on the grid of their sums.

A target adds the bias to a sum of 32 bits, as a whole number of s_x s_w. Two kinds of channel need a scale of the
weights that the weights alone would not give:

- weights that are next to nothing beside the bias: it would need more than 32 bits, so s_w is at least |b| / (2^30 s_x)
  and leaves 30 bits to the sum. What the weights lose is below 2^-30 of the bias for each step of the input;
- weights that are all 0 (a batch norm's gamma of 0, a layer that starts from 0, a dead channel): any scale holds them,
  and the bias is all that the channel gives. s_w = |b| / (2^22 s_x) holds it to 2^-23 of itself.

Where one scale serves several channels, the largest of their biases counts.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, tensor_inputs
from microjoule.graph.walk import grid_under
from microjoule.numerics.affine import SMALLEST_SCALE, Affine, along, power_of_two_above, quantize

LARGEST_BIAS = 2**30
"""Half of what 32 bits hold: the other half is left to the sum."""

FREE_STEPS = 2**22
"""How many steps a bias becomes in a channel without weights: 2^14 for each of an output of 8 bits, 2^6 of 16 bits."""

MARGIN = 1 + 2**-20
"""So that a scale in float32 is not below the least one by its rounding."""

NEARLY = 1 + 1 / 128
"""A scale that other methods have moved a little since it grew still counts as grown."""

# The equation ---------------------------------------------------------------------------------------------------------


def roomy_scale(scale: Tensor, bias: Tensor, empty: Tensor, input_scale: float) -> Tensor:
    """Scales under which the biases fit, and are exact where there are no weights.

    Args:
        scale: any shape, of the weights.
        bias: the shape of `scale`: the largest |b| of the channels that each scale serves.
        empty: the shape of `scale`: whether all of their weights are 0.
        input_scale: s_x.

    Returns:
        The shape of `scale`, float32.
    """
    exact, given = bias.double() / input_scale, scale.double()
    others = given[~empty].min() if bool((~empty).any()) else given.max()
    free = torch.where(bias > 0, exact / FREE_STEPS, others).clamp(min=SMALLEST_SCALE)
    return torch.where(empty, free, given).maximum(exact / LARGEST_BIAS * MARGIN).float()


def sum_scale(layer: Layer, affine: Affine, input_scale: Tensor) -> Tensor:
    """The scale of the integer sum, float64: (), or (out_channels,) for a weight with a scale for each channel.

    Args:
        layer: the layer.
        affine: of its weight.
        input_scale: ().
    """
    scale = affine.scale.double() * input_scale.double()
    if scale.dim() == 0:
        return scale
    if layer.kind == "conv_transpose":
        return scale.repeat(layer.groups)
    return scale.repeat_interleave(affine.scheme.block or 1)[: layer.out_channels]


# Of a layer -----------------------------------------------------------------------------------------------------------


def with_room(layer: Layer, integers: Tensor, affine: Affine, input_scale: float) -> Affine:
    """A weight's grid with room for the layer's bias.

    Args:
        layer: the layer.
        integers: of its weight, in its own layout.
        affine: of its weight.
        input_scale: of what it reads; the smallest where it is called more than once.
    """
    if layer.bias is None:
        return affine
    centred = (integers - along(affine.zero_point, integers, affine.scheme)).double()
    bias = _by_scale(layer, affine, layer.bias.detach().abs(), weights=False)
    empty = _by_scale(layer, affine, centred.abs(), weights=True) == 0
    scale = roomy_scale(affine.scale, bias, empty, input_scale)
    left = torch.round(centred * along(affine.scale / scale, integers, affine.scheme).double())
    gone = _by_scale(layer, affine, left.abs(), weights=True) == 0  # all rounded away under the larger scale
    scale = roomy_scale(affine.scale, bias, empty | gone, input_scale)
    if affine.scheme.power_of_two:
        scale = torch.where(scale == affine.scale, scale, power_of_two_above(scale))
    return replace(affine, scale=scale)


def _by_scale(layer: Layer, affine: Affine, values: Tensor, *, weights: bool) -> Tensor:
    """The largest value that each scale serves.

    Args:
        layer: the layer.
        affine: of its weight.
        values: of the weight's shape, or (out_channels,).
        weights: which of the two.
    """
    axis = affine.scheme.axis
    if axis is None:
        return values.max()
    if weights:
        values = values.movedim(axis, 0).flatten(1).amax(1)
    elif layer.kind == "conv_transpose":
        values = values.unflatten(0, (layer.groups, -1)).amax(0)
    block = affine.scheme.block or 1
    found: Tensor = pad(values, (0, -len(values) % block)).unflatten(0, (-1, block)).amax(1)
    return found


def least_input_scales(network: Network) -> dict[str, float]:
    """Layer path -> the smallest scale of all that the layer reads, wherever it is called; only if all is on grids."""
    found: dict[str, list[float]] = {}
    for node in network.graph.nodes:
        layer = Layer.at(network.module, node)
        if layer is not None:
            grid = grid_under(network, tensor_inputs(node)[0])
            known = grid is not None and grid.calibrated and grid.affine.scale.dim() == 0
            found.setdefault(layer.path, []).append(grid.affine.scale.item() if grid is not None and known else 0.0)
    return {path: min(scales) for path, scales in found.items() if min(scales) > 0}


# Applying it ----------------------------------------------------------------------------------------------------------


def make_room_for_biases(network: Network) -> tuple[dict[str, int], dict[str, int]]:
    """Give weights scales under which their layers' biases fit, in place.

    Args:
        network: a network whose quantizers have their ranges.

    Returns:
        Layer path -> how many scales grew, as the bias would need more than 32 bits; and how many serve no weights
        but 0.
    """
    grown: dict[str, int] = {}
    free: dict[str, int] = {}
    scales = least_input_scales(network)
    for layer in network.layers:
        if layer.quantizer is None or not layer.quantizer.calibrated or layer.path not in scales:
            continue
        quantizer, affine, held = layer.quantizer, layer.quantizer.affine, layer.quantizer.integers
        integers = quantize(layer.stored_weight.detach(), affine) if held is None else held
        zero_point = along(affine.zero_point, integers, affine.scheme)
        roomy = with_room(layer, integers, affine, scales[layer.path])
        factor = along(affine.scale.double() / roomy.scale.double(), integers, affine.scheme)
        centred = torch.round((integers - zero_point) * factor)
        counts = _counts(layer, centred, roomy, scales[layer.path])
        for counted, number in zip((grown, free), counts, strict=True):
            if number:
                counted[layer.path] = number
        if not torch.equal(roomy.scale, affine.scale):
            quantizer.set_affine(roomy)
            if held is not None:
                quantizer.hold(centred.to(torch.int32) + zero_point)
    return grown, free


def _counts(layer: Layer, integers: Tensor, affine: Affine, input_scale: float) -> tuple[int, int]:
    """How many scales are as large as they are for the bias alone, and how many serve no weights but 0."""
    if layer.bias is None:
        return 0, 0
    empty = _by_scale(layer, affine, (integers != 0).float(), weights=True) == 0
    bias = _by_scale(layer, affine, layer.bias.detach().abs(), weights=False)
    least = bias.double() / (input_scale * LARGEST_BIAS)
    return int((~empty & (affine.scale <= least * NEARLY)).sum()), int((empty & (bias > 0)).sum())


def largest_sum(layer: Layer, integers: Tensor, bias: Tensor | None, ends: tuple[int, int]) -> int:
    """The largest absolute value that the sum of a layer can reach, whatever it reads.

    Args:
        layer: the layer.
        integers: of its weight less the zero point, in its own layout.
        bias: (out_channels,), in steps of the sum, or None.
        ends: the smallest and the largest integer that it reads, less the zero point.
    """
    rows = layer.by_output(integers).flatten(1).double()
    positive, negative = rows.clamp(min=0).sum(1), rows.clamp(max=0).sum(1)
    added = torch.zeros_like(positive) if bias is None else bias.double()
    low, high = ends
    sums = (low * positive + high * negative + added, high * positive + low * negative + added)
    return int(max(one.abs().max().item() for one in sums))
