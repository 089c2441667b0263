"""How a convolution's kernel moves over its input, and where it meets zeros instead of inputs."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from microjoule.graph.ops import Layer, arguments


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a kernel moves over its input: one number an axis; padding is (before, after)."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int


def geometry(layer: Layer) -> Geometry:
    """A convolution's geometry, from its module or its arguments."""
    kernel = layer.stored_weight.shape[2:]
    if layer.node.op == "call_module":
        given = {name: getattr(layer.owner, name, 0) for name in ("stride", "padding", "dilation", "output_padding")}
    else:
        given = arguments(layer.node)
    dilation = _per_axis(given["dilation"], len(kernel))
    if given["padding"] == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = tuple((t // 2, t - t // 2) for t in total)
    else:
        sides = (0,) * len(kernel) if given["padding"] == "valid" else _per_axis(given["padding"], len(kernel))
        padding = tuple((side, side) for side in sides)
    more = _per_axis(given.get("output_padding", 0), len(kernel))
    return Geometry(_per_axis(given["stride"], len(kernel)), padding, dilation, more, layer.groups)


def pads_with_zeros(layer: Layer) -> bool:
    """Whether a layer's padding is zeros, not a reflection."""
    return not isinstance(layer.owner, nn.modules.conv._ConvNd) or layer.owner.padding_mode == "zeros"


def meets_zeros(layer: Layer) -> bool:
    """Whether some of a layer's outputs are sums over less than its whole kernel, with zeros for the rest.

    A constant in the inputs is then not the same constant in every output.
    """
    if layer.kind == "linear":
        return False
    how = geometry(layer)
    padded = any(before or after for before, after in how.padding)
    if layer.kind == "conv_transpose":
        return padded or max(layer.stored_weight.shape[2:]) > 1 or max(how.stride) > 1 or any(how.output_padding)
    return padded and pads_with_zeros(layer)


def met_share(layer: Layer, size: tuple[int, ...], *, pads: tuple[tuple[int, int], ...] | None = None) -> Tensor:
    """How often each weight of a convolution's kernel meets an input and not a zero, over all outputs.

    Args:
        layer: a convolution or transposed convolution.
        size: of the input, without samples and channels, and without `pads`.
        pads: zeros that an operator before the layer has put (before, after) each axis.

    Returns:
        (*kernel), float64.
    """
    how, kernel = geometry(layer), tuple(layer.stored_weight.shape[2:])
    if layer.kind == "conv" and not pads_with_zeros(layer):
        return torch.ones(kernel, dtype=torch.float64)
    added = pads or ((0, 0),) * len(kernel)
    axes = []
    for axis, length in enumerate(kernel):
        (before, after), (first, last), inputs = how.padding[axis], added[axis], size[axis]
        step, taps, padded = how.stride[axis], how.dilation[axis] * torch.arange(length), first + inputs + last
        if layer.kind == "conv":
            outputs = (padded + before + after - int(taps[-1]) - 1) // step + 1
            read = step * torch.arange(outputs)[:, None] + taps - before - first
            met = ((read >= 0) & (read < inputs)).sum(0)
        else:
            outputs = (padded - 1) * step - before - after + int(taps[-1]) + how.output_padding[axis] + 1
            written = step * (first + torch.arange(inputs))[:, None] + taps - before
            met = ((written >= 0) & (written < outputs)).sum(0)
        axes.append((met.double() / outputs).reshape([-1 if i == axis else 1 for i in range(len(kernel))]))
    return math.prod(axes, start=torch.ones(kernel, dtype=torch.float64))


def _per_axis(value: int | tuple[int, ...] | list[int], axes: int) -> tuple[int, ...]:
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * axes if len(given) == 1 else given
