"""Sums of products of integers: convolution, transposed convolution, matrix product, exactly.

Torch has no integer convolution on the CPU. The numbers here are integers held in floating point: in float32 where no
partial sum can reach 2^24, else in float64, which counts to 2^53. In these bounds every sum is exact in whatever order
it is taken. In float32 torch's convolution is used; in float64, where it is slow, one matrix product for each place in
the kernel.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from microjoule.graph.geometry import Geometry

EXACT_FLOAT32 = 2**24


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, how: Geometry) -> Tensor:
    """The sums of a convolution.

    Args:
        x: (n, in, *size), integers.
        weight: (out, in / groups, *kernel), integers.
        bias: (out,), integers, or None.
        how: the geometry.

    Returns:
        (n, out, *size), whole numbers.
    """
    dtype = _exact(x, weight.flatten(1))
    axes = x.dim() - 2
    flat = [side for pair in reversed(how.padding) for side in pair]
    padded = nn.functional.pad(x.to(dtype), flat)
    if dtype is torch.float32:
        convolution = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[axes - 1]
        with torch.backends.nnpack.flags(enabled=False):  # it multiplies by fractions (Winograd), which is not exact
            sums = convolution(padded, weight.float(), None, how.stride, 0, how.dilation, how.groups)
        return _plus(sums, bias)
    padded = padded.unflatten(1, (how.groups, -1))
    rows = weight.to(dtype).unflatten(0, (how.groups, -1))
    kernel = weight.shape[2:]
    spans = [d * (k - 1) + 1 for d, k in zip(how.dilation, kernel, strict=True)]
    sizes = [(padded.shape[3 + i] - spans[i]) // how.stride[i] + 1 for i in range(axes)]
    total = torch.zeros(x.shape[0], how.groups, rows.shape[1], *sizes, dtype=dtype)
    for tap in _taps(kernel):
        places = [
            slice(t * d, t * d + s * (size - 1) + 1, s)
            for t, d, s, size in zip(tap, how.dilation, how.stride, sizes, strict=True)
        ]
        total += _product(rows[(..., *tap)], padded[(slice(None), slice(None), slice(None), *places)])
    return _plus(total.flatten(1, 2), bias)


def convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None, how: Geometry) -> Tensor:
    """The sums of a transposed convolution.

    Args:
        x: (n, in, *size), integers.
        weight: (in, out / groups, *kernel), integers.
        bias: (out,), integers, or None.
        how: the geometry.

    Returns:
        (n, out, *size), whole numbers.
    """
    dtype = _exact(x, weight.transpose(0, 1).flatten(1))
    grouped = x.to(dtype).unflatten(1, (how.groups, -1))
    rows = weight.to(dtype).unflatten(0, (how.groups, -1)).transpose(1, 2)
    kernel, size = weight.shape[2:], x.shape[2:]
    full = [
        (n - 1) * s + d * (k - 1) + 1 + more
        for n, s, d, k, more in zip(size, how.stride, how.dilation, kernel, how.output_padding, strict=True)
    ]
    total = torch.zeros(x.shape[0], how.groups, rows.shape[1], *full, dtype=dtype)
    for tap in _taps(kernel):
        places = [
            slice(t * d, t * d + s * (n - 1) + 1, s)
            for t, d, s, n in zip(tap, how.dilation, how.stride, size, strict=True)
        ]
        total[(slice(None), slice(None), slice(None), *places)] += _product(rows[(..., *tap)], grouped)
    cut = [slice(before, length - after) for (before, after), length in zip(how.padding, full, strict=True)]
    return _plus(total[(slice(None), slice(None), slice(None), *cut)].flatten(1, 2), bias)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The sums of a linear layer.

    Args:
        x: (*, in), integers.
        weight: (out, in), integers.
        bias: (out,), integers, or None.

    Returns:
        (*, out), whole numbers.
    """
    dtype = _exact(x, weight)
    return _plus((x.to(dtype) @ weight.to(dtype).T).movedim(-1, 1), bias).movedim(1, -1)


def _plus(total: Tensor, bias: Tensor | None) -> Tensor:
    """(n, out, *size) plus (out,), in float64 where float32 is not exact."""
    if bias is None:
        return total
    low, high = (int(end) for end in torch.aminmax(total))
    largest = max(-low, high) + int(bias.long().abs().max())
    exact = total if largest < EXACT_FLOAT32 else total.double()
    return exact + bias.to(exact.dtype).reshape(-1, *[1] * (total.dim() - 2))


def _product(tap: Tensor, x: Tensor) -> Tensor:
    """(groups, out, in) times (n, groups, in, *size) -> (n, groups, out, *size)."""
    if tap.shape[2] == 1:
        return tap.reshape(*tap.shape[:2], *[1] * (x.dim() - 3)) * x
    if tap.shape[0] == 1:
        return torch.matmul(tap[0], x[:, 0].flatten(2)).reshape(x.shape[0], 1, tap.shape[1], *x.shape[3:])
    return torch.matmul(tap, x.flatten(3)).reshape(*x.shape[:2], tap.shape[1], *x.shape[3:])


def _exact(x: Tensor, rows: Tensor) -> torch.dtype:
    """The type in which no partial sum is rounded; rows hold at least all weights of one output each."""
    low, high = (int(end) for end in torch.aminmax(x))
    largest = max(-low, high) * int(rows.long().abs().sum(1).max())
    return torch.float32 if largest < EXACT_FLOAT32 else torch.float64


def _taps(kernel: torch.Size) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, kernel))
