"""How a kernel or a window moves over its input, and where it meets zeros instead of inputs."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

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


def window_sizes(node: Node, size: torch.Size, made: torch.Size) -> Tensor:
    """How many values each mean is of, in float64: a number, or one for each place of the output."""
    args = arguments(node)
    if "dim" in args:
        dims = args["dim"] or range(len(size))
        return torch.tensor(float(math.prod(size[dim] for dim in dims)), dtype=torch.float64)
    if args.get("divisor_override"):
        return torch.tensor(float(args["divisor_override"]), dtype=torch.float64)
    axes = int(node.target._schema.name[-2])  # type: ignore[union-attr]  # of "avg_pool2d"
    counts = torch.ones(())
    for axis in range(axes):
        along = _along(args, axis, size[axis - axes], made[axis - axes])
        counts = counts.unsqueeze(-1) * torch.tensor(along)
    return counts.double()


def _along(args: dict[str, Any], axis: int, size: int, made: int) -> list[float]:
    """The windows' lengths along one axis."""
    if "output_size" in args:
        return [float(-(-(i + 1) * size // made) - i * size // made) for i in range(made)]
    kernel, padding = _on_axis(args["kernel_size"], axis), _on_axis(args["padding"], axis)
    stride = _on_axis(args["stride"] or args["kernel_size"], axis)
    beyond = padding if args["count_include_pad"] else 0
    starts = [i * stride - padding for i in range(made)]
    return [float(min(start + kernel, size + beyond) - max(start, -beyond)) for start in starts]


def _on_axis(values: Any, axis: int) -> int:
    return int(values if isinstance(values, int) else values[axis if len(values) > 1 else 0])
