"""Multiplying an integer by a real factor with integers alone, as targets do after an integer sum.

A factor f > 0 becomes f = m 2^(e - 31) with an integer 2^30 <= m < 2^31. A sum x of 32 bits times m has 63 bits at
most, and a shift brings it back, round(x m / 2^(31 - e)), halves rounded up.

Older code rounds x m / 2^31 first and then the shift, which loses the bits below 1 and is off by a step once in some
hundred values. Targets that round once (XNNPACK's "rndnu", TensorFlow Lite with TFLITE_SINGLE_ROUNDING) do as here.

Source: TensorFlow Lite, kernels/internal/quantization_util.cc (QuantizeMultiplier) and common.h
(MultiplyByQuantizedMultiplier), https://github.com/tensorflow/tensorflow.
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
        factor: any shape, > 0, below 2^30.
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
    shift = BITS - factor.shift
    half = torch.ones_like(shift) << (shift - 1)
    return ((x * factor.multiplier + half) >> shift).clamp(-LARGEST - 1, LARGEST)
