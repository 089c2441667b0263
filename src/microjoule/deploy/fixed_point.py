"""Multiplying an integer by a real factor with integers alone, as targets do after an integer sum.

A factor f > 0 becomes f = m 2^(e - 31) with an integer 2^30 <= m < 2^31. A sum x of 32 bits is then scaled in two
roundings: the upper half of the doubled 64-bit product, y = round(x m / 2^31), and a shift, round(y / 2^-e). The first
rounds halves up, the second away from zero.

Source: gemmlowp, fixedpoint/fixedpoint.h, https://github.com/google/gemmlowp (SaturatingRoundingDoublingHighMul,
RoundingDivideByPOT); TensorFlow Lite, kernels/internal/quantization_util.cc (QuantizeMultiplier) and common.h
(MultiplyByQuantizedMultiplier), the variant with two roundings.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BITS = 31
LARGEST = 2**BITS - 1


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Factors as multiplier * 2^(shift - 31).

    Args:
        multiplier: any shape, int64, 0 or in [2^30, 2^31).
        shift: the shape of `multiplier`, int64.
    """

    multiplier: Tensor
    shift: Tensor


def fixed_point(factor: Tensor) -> FixedPoint:
    """The nearest fixed-point factors; one below 2^-32 is 0.

    Args:
        factor: any shape, > 0.
    """
    mantissa, exponent = torch.frexp(factor.double())
    multiplier = torch.floor(mantissa * 2**BITS + 0.5).long()
    shift = exponent.long()
    full = multiplier == 2**BITS  # a mantissa that rounds up to 1
    multiplier, shift = torch.where(full, multiplier // 2, multiplier), torch.where(full, shift + 1, shift)
    nothing = shift < -BITS
    return FixedPoint(torch.where(nothing, 0, multiplier), torch.where(nothing, 0, shift))


def scaled(x: Tensor, factor: FixedPoint) -> Tensor:
    """x times the factor, rounded as a target does it.

    Args:
        x: any shape, int64 within 32 bits.
        factor: broadcasts against `x`.
    """
    shifted = (x << factor.shift.clamp(min=0)).clamp(-LARGEST - 1, LARGEST)
    return rounding_shift(high_product(shifted, factor.multiplier), (-factor.shift).clamp(min=0))


def high_product(x: Tensor, multiplier: Tensor) -> Tensor:
    """x * multiplier / 2^31, halves rounded up.

    Args:
        x: any shape, int64 within 32 bits.
        multiplier: a shape that broadcasts against `x`, int64 in [0, 2^31).
    """
    product = x * multiplier
    nudge = torch.where(product >= 0, 2 ** (BITS - 1), 1 - 2 ** (BITS - 1))
    return torch.div(product + nudge, 2**BITS, rounding_mode="trunc")


def rounding_shift(x: Tensor, shift: Tensor) -> Tensor:
    """x / 2^shift, halves rounded away from zero.

    Args:
        x: any shape, int64.
        shift: a shape that broadcasts against `x`, int64, >= 0.
    """
    mask = (torch.ones_like(shift) << shift) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0).long()
    return (x >> shift) + (remainder > threshold).long()
