"""Affine quantization: q = clamp(round(x / scale) + zero_point, qmin, qmax) and back.

Asymmetric over [low, high] with b bits: scale = (high - low) / (2^b - 1), and the zero point is the
integer nearest to qmin - low / scale, so that 0 is on the grid (zero padding and ReLU need it).
Symmetric: the zero point is the middle of the grid and scale = max(|low|, |high|) / qmax.

Source: Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, https://arxiv.org/abs/1712.05877, section 2.1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.errors import DataError, SettingError
from microjoule.numerics.grid import Interval, IntGrid, Scheme

SMALLEST_SCALE = 2.0**-100
"""Far below any real scale, and its square is still a normal float32; keeps x / scale finite."""


@dataclass(frozen=True, slots=True)
class Affine:
    """A grid with its place on the real line.

    Args:
        scheme: the grid and how it is laid.
        scale: () or (channels / block,), float, > 0.
        zero_point: as `scale`, int32, within the grid.
    """

    scheme: Scheme
    scale: Tensor
    zero_point: Tensor

    @property
    def grid(self) -> IntGrid:
        """The integers."""
        return self.scheme.grid


def affine_from_range(low: Tensor, high: Tensor, scheme: Scheme) -> Affine:
    """Lay the grid over [low, high], widened to contain 0.

    No value of the range is further than half a step from the grid. A power-of-two scale leaves room to
    spare, and the zero point then moves so that the grid covers the whole range, if any zero point can.

    Args:
        low: () or (channels / block,).
        high: as `low`.
        scheme: the grid and how it is laid.

    Raises:
        DataError: for a range that is not finite, or too wide for a float32 scale.
        SettingError: for shapes that differ, or a low above its high.
    """
    _check_range(low, high)
    grid = scheme.grid
    low, high = low.double().clamp(max=0), high.double().clamp(min=0)
    middle = 0 if grid.signed else (grid.qmax + 1) // 2
    scale = torch.maximum(-low, high) / max(grid.qmax - middle, 1) if scheme.symmetric else (high - low) / grid.steps
    scale = torch.where(scale > SMALLEST_SCALE, scale, torch.ones_like(scale))
    scale = (power_of_two_above(scale) if scheme.power_of_two else scale).float()
    if not bool(torch.isfinite(scale).all()):
        raise DataError("range", "is too wide for a float32 scale", remedy="scale the values down")
    zero_point = torch.full_like(low, middle) if scheme.symmetric else _zero_point(low, high, scale.double(), grid)
    return Affine(scheme, scale, zero_point.to(torch.int32))


def affine_of_interval(interval: Interval, scheme: Scheme) -> Affine:
    """Lay the grid over a fixed interval: a step is a 2^b-th of [low, high), and a (2^b - 1)-th of [low, high].

    Args:
        interval: which holds 0.
        scheme: the grid and how it is laid, one scale a tensor.
    """
    grid, more = scheme.grid, int(interval.open_end)
    middle = 0 if grid.signed else (grid.qmax + 1) // 2
    largest = max(-interval.low, interval.high)
    step = largest / (grid.qmax - middle + more) if scheme.symmetric else interval.width / (grid.steps + more)
    scale = torch.tensor(step, dtype=torch.float64)
    scale = power_of_two_above(scale) if scheme.power_of_two else scale
    lowest = torch.round(grid.qmin - interval.low / scale).clamp(grid.qmin, grid.qmax)
    zero_point = torch.full_like(scale, middle) if scheme.symmetric else lowest
    return Affine(scheme, scale.float(), zero_point.to(torch.int32))


def _check_range(low: Tensor, high: Tensor) -> None:
    if low.shape != high.shape or low.dim() > 1:
        raise SettingError(
            "range",
            f"low has shape {tuple(low.shape)} and high {tuple(high.shape)}",
            remedy="give both the shape () or (channels,)",
        )
    if not bool((torch.isfinite(low) & torch.isfinite(high)).all()):
        raise DataError("range", "holds NaN or infinity", remedy="look for NaN or infinity in the values it came from")
    if bool((low > high).any()):
        raise SettingError("range", "has a low above its high", remedy="swap the two")


def power_of_two_above(scale: Tensor) -> Tensor:
    """The smallest power of two that is not below a scale; by the bits, as log2 is not exact everywhere."""
    mantissa, exponent = torch.frexp(scale)
    return torch.ldexp(torch.ones_like(scale), torch.where(mantissa == 0.5, exponent - 1, exponent))


def _zero_point(low: Tensor, high: Tensor, scale: Tensor, grid: IntGrid) -> Tensor:
    """The integer nearest to qmin - low / scale among those that cover the range, or of all if none does."""
    nearest = torch.round(grid.qmin - low / scale)
    first, last = torch.ceil(grid.qmin - low / scale), torch.floor(grid.qmax - high / scale)
    covering = torch.minimum(torch.maximum(nearest, first), last)
    return torch.clamp(torch.where(first <= last, covering, nearest), grid.qmin, grid.qmax)


def along(values: Tensor, like: Tensor, scheme: Scheme) -> Tensor:
    """Shape one value a channel (or block) so that it broadcasts against a tensor.

    Args:
        values: () or (channels / block,), the last block may be part of one.
        like: (*, channels, *), channels at `scheme.axis`.

    Raises:
        DataError: if there is not exactly one value a channel (or block).
    """
    channels = 1 if scheme.axis is None else like.shape[scheme.axis]
    expected = -(-channels // (scheme.block or 1))
    if values.numel() != expected:
        raise DataError(
            "scale",
            f"has {values.numel()} values for a tensor of shape {tuple(like.shape)}, expected {expected}",
            remedy="calibrate with the scheme and the shape that are used here",
        )
    if scheme.axis is None:
        return values.reshape(())
    if scheme.block is not None:
        values = values.repeat_interleave(scheme.block)[:channels]
    shape = [1] * like.dim()
    shape[scheme.axis] = -1
    return values.reshape(shape)


def quantize(x: Tensor, affine: Affine) -> Tensor:
    """Round to the grid, as integers (int32).

    Args:
        x: any shape; channels at the scheme's axis.
    """
    scale, zero_point = along(affine.scale, x, affine.scheme), along(affine.zero_point, x, affine.scheme)
    steps = torch.round(_at_least_float32(x) / scale) + zero_point
    return torch.clamp(steps, affine.grid.qmin, affine.grid.qmax).to(torch.int32)


def dequantize(q: Tensor, affine: Affine) -> Tensor:
    """The real values of integers.

    Args:
        q: any shape, integers; channels at the scheme's axis.
    """
    scale, zero_point = along(affine.scale, q, affine.scheme), along(affine.zero_point, q, affine.scheme)
    return (q - zero_point).to(scale.dtype) * scale


def fake_quantize(x: Tensor, affine: Affine, *, ends: tuple[int, int] | None = None) -> Tensor:
    """The nearest values on the grid: dequantize(quantize(x)), without leaving floating point.

    The zero point moves into the bounds, clamp(round(x / s) + z, a, b) - z = clamp(round(x / s), a - z, b - z).

    Args:
        x: any shape and floating-point type; channels at the scheme's axis.
        affine: the grid.
        ends: a - z and b - z, as `centred_ends` tells them: no tensor is then read but the scale.

    Returns:
        The shape and type of `x`; half precision is rounded once, at the end.
    """
    exact = _at_least_float32(x)
    if ends is not None:
        return torch.div(exact, affine.scale).round_().clamp_(*ends).mul_(affine.scale).to(x.dtype)
    scale, zero_point = along(affine.scale, x, affine.scheme), along(affine.zero_point, x, affine.scheme)
    low, high = (affine.grid.qmin - zero_point).to(exact.dtype), (affine.grid.qmax - zero_point).to(exact.dtype)
    return torch.div(exact, scale).round_().clamp_(low, high).mul_(scale).to(x.dtype)


def centred_ends(affine: Affine) -> tuple[int, int] | None:
    """The smallest and the largest integer less the zero point; None where each channel has its own."""
    if affine.scale.dim() > 0:
        return None
    zero_point = int(affine.zero_point)
    return affine.grid.qmin - zero_point, affine.grid.qmax - zero_point


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision cannot count to the 255 or 65535 steps of a grid."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
