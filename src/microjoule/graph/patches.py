"""What a layer reads for single outputs, as rows: a layer is a matrix product of these with its weights.

For output position p a convolution multiplies, for each input channel c and kernel tap t,

    x[c, stride p + dilation t - padding] W[o, c, t],

a transposed convolution those inputs i for which stride i = p + padding - dilation t, and a linear layer all of x.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from microjoule.graph.geometry import Geometry, geometry, pads_with_zeros
from microjoule.graph.ops import Layer


def sample_positions(samples: int, sizes: tuple[int, ...], per_sample: int, generator: torch.Generator) -> Tensor:
    """Different places of a layer's output, the same number in each sample.

    Args:
        samples: how many samples there are.
        sizes: of the output, without samples and channels.
        per_sample: how many places of each; all are taken if there are no more.
        generator: chooses.

    Returns:
        (rows, 1 + len(sizes)), the sample and the place on each axis.
    """
    places = torch.Size(sizes).numel()
    if per_sample >= places:
        flat = torch.arange(places).expand(samples, -1)
    else:
        flat = torch.stack([torch.randperm(places, generator=generator)[:per_sample] for _ in range(samples)])
    which = torch.arange(samples)[:, None].expand_as(flat)
    axes = torch.unravel_index(flat.flatten(), sizes) if sizes else ()
    return torch.stack((which.flatten(), *axes), 1)


def output_sizes(layer: Layer, shape: torch.Size) -> tuple[int, ...]:
    """The sizes of a layer's output without samples and channels.

    Args:
        layer: the layer.
        shape: of its output.
    """
    return tuple(shape[1:-1]) if layer.kind == "linear" else tuple(shape[2:])


def output_rows(layer: Layer, y: Tensor, positions: Tensor) -> Tensor:
    """The outputs at some places.

    Args:
        layer: the layer.
        y: (samples, channels, *sizes), or (samples, *sizes, channels) for a linear layer: its output.
        positions: (rows, 1 + axes), from `sample_positions`.

    Returns:
        (groups, rows, out / groups).
    """
    last = y if layer.kind == "linear" else y.movedim(1, -1)
    rows = last[tuple(positions.to(y.device).unbind(1))]
    grouped: Tensor = rows.unflatten(1, (layer.groups, -1))
    return grouped.movedim(1, 0)


def input_rows(layer: Layer, x: Tensor, positions: Tensor) -> Tensor:
    """What the weights are multiplied by for the outputs at some places.

    Args:
        layer: the layer.
        x: (samples, channels, *sizes), or (samples, *sizes, channels) for a linear layer: its input.
        positions: (rows, 1 + axes), from `sample_positions`.

    Returns:
        (groups, rows, in / groups * kernel size), in the order of `weight_rows`.
    """
    where = positions.to(x.device)
    if layer.kind == "linear":
        return x[tuple(where.unbind(1))][None]
    how, kernel = geometry(layer), layer.stored_weight.shape[2:]
    if layer.kind == "conv" and not pads_with_zeros(layer):
        assert isinstance(layer.owner, nn.modules.conv._ConvNd)
        sides = [side for axis in reversed(how.padding) for side in axis]
        x = pad(x, sides, mode=layer.owner.padding_mode)
        how = replace(how, padding=((0, 0),) * len(kernel))
    places = where[:, 1:]
    read = _read_by_transposed if layer.kind == "conv_transpose" else _read_by_conv
    last = x.movedim(1, -1)
    rows: Tensor = x.new_empty(len(where), x.shape[1], kernel.numel())
    for number, tap in enumerate(itertools.product(*map(range, kernel))):
        at, inside = read(how, places, torch.tensor(tap, device=x.device), torch.tensor(x.shape[2:], device=x.device))
        torch.mul(last[(where[:, 0], *at.unbind(1))], inside[:, None], out=rows[:, :, number])
    grouped: Tensor = rows.unflatten(1, (layer.groups, -1))
    return grouped.flatten(2).movedim(1, 0)


def _read_by_conv(how: Geometry, places: Tensor, tap: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Where a tap reads, (rows, axes), and whether that is inside the input, (rows,)."""
    before = torch.tensor([side for side, _ in how.padding], device=places.device)
    at = places * places.new_tensor(how.stride) + tap * tap.new_tensor(how.dilation) - before
    inside = ((at >= 0) & (at < sizes)).all(1)
    return at.clamp(min=0).minimum(sizes - 1), inside


def _read_by_transposed(how: Geometry, places: Tensor, tap: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    before, stride = (
        torch.tensor([side for side, _ in how.padding], device=places.device),
        places.new_tensor(how.stride),
    )
    scaled = places + before - tap * tap.new_tensor(how.dilation)
    at = scaled.div(stride, rounding_mode="floor")
    inside = ((scaled % stride == 0) & (at >= 0) & (at < sizes)).all(1)
    return at.clamp(min=0).minimum(sizes - 1), inside


def weight_rows(layer: Layer, weight: Tensor) -> Tensor:
    """A weight as the matrix that rows are multiplied by, (groups, out / groups, in / groups * kernel size).

    Args:
        layer: the layer.
        weight: (out, in / groups, *kernel), or as the layer's own layout has it.
    """
    rows: Tensor = layer.by_output(weight).flatten(1).unflatten(0, (layer.groups, -1))
    return rows


def weight_from_rows(layer: Layer, rows: Tensor) -> Tensor:
    """The inverse of `weight_rows`: a weight in the layer's own layout.

    Args:
        layer: the layer.
        rows: (groups, out / groups, in / groups * kernel size).
    """
    shape = layer.by_output(layer.stored_weight).shape
    return layer.in_layout(rows.flatten(0, 1).reshape(shape))


def columns_of(layer: Layer, channels: Sequence[int]) -> dict[int, list[int]]:
    """The columns of `weight_rows` that read some input channels, for each group of the layer that reads any.

    Args:
        layer: the layer.
        channels: indices of input channels.
    """
    each, taps = layer.in_channels // layer.groups, layer.stored_weight.shape[2:].numel()
    found: dict[int, list[int]] = {}
    for channel in channels:
        group, place = divmod(channel, each)
        found.setdefault(group, []).extend(range(place * taps, (place + 1) * taps))
    return found
