"""How far a tensor is from another: in decibels, in steps of a grid, in shares of values, in nats.

Source: signal to quantization noise: Bennett 1948, Spectra of Quantized Signals; divergence: Kullback and
Leibler 1951, On Information and Sufficiency.
"""

import math

import torch
from torch import Tensor

from microjoule.errors import DataError


def sqnr_db(reference: Tensor, value: Tensor) -> float:
    """10 log10(sum reference^2 / sum (reference - value)^2); infinity if nothing differs.

    Args:
        reference: any shape.
        value: the shape of `reference`.
    """
    _check_same_shape(reference, value)
    exact = reference.double()
    return decibel(float(exact.square().sum()), float((exact - value.double()).square().sum()))


def decibel(signal: float, noise: float) -> float:
    """10 log10(signal / noise) of two powers; infinity without noise, minus infinity without signal."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def steps_apart(a: Tensor, b: Tensor) -> int:
    """The largest difference of two tensors of integers.

    Args:
        a: any shape, integers.
        b: the shape of `a`, integers.
    """
    _check_same_shape(a, b)
    for tensor in (a, b):
        if tensor.is_floating_point() or tensor.is_complex():
            raise DataError("steps_apart", f"got {tensor.dtype}, expected integers", remedy="quantize both first")
    return int((a.long() - b.long()).abs().max())


def equal_share(a: Tensor, b: Tensor) -> float:
    """The share of values that are the same, in 0 to 1.

    Args:
        a: any shape.
        b: the shape of `a`.
    """
    _check_same_shape(a, b)
    return float((a == b).double().mean())


def within_share(a: Tensor, b: Tensor, *, tolerance: float) -> float:
    """The share of values that differ by `tolerance` at most, in 0 to 1.

    Args:
        a: any shape.
        b: the shape of `a`.
        tolerance: in the unit of the values.
    """
    _check_same_shape(a, b)
    return float(((a.double() - b.double()).abs() <= tolerance).double().mean())


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """sum p log(p / q) over the last dimension, each first divided by its sum; () or the leading shape, in nats.

    0 log 0 is 0, and the divergence is infinite where q is 0 and p is not, or q has no weight at all.

    Args:
        p: (*, n), weights >= 0, not all 0.
        q: the shape of `p`, weights >= 0.
    """
    _check_same_shape(p, q)
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    terms = torch.where(p > 0, p * (p / q).log(), 0.0)
    return torch.nan_to_num(terms.sum(-1), nan=math.inf, posinf=math.inf).clamp(min=0)


def _check_same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise DataError(
            "comparison", f"shapes {tuple(a.shape)} and {tuple(b.shape)} differ", remedy="compare like with like"
        )
    if a.numel() == 0:
        raise DataError("comparison", "has no values", remedy="give at least one")
