"""Roundings that can be learned: each integer lies between its floor and its ceil, and is driven to one of them.

Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization,
https://arxiv.org/abs/2004.10568, equations 21 to 24.
"""

import math

import torch
from torch import Tensor

STRETCH, SHIFT = 1.2, -0.1
"""zeta - gamma and gamma of the rectified sigmoid (equation 23): h reaches 0 and 1 at a finite V."""

REGULARIZER = 10.0
"""lambda, where a weight rounded to nearest loses 1 on average; with 0.1 or 1 too few h come near 0 or 1."""

BETA = (20.0, 2.0)
"""From where to where beta falls."""

WARM_UP = 0.2
"""Share of the iterations without the regularizer."""


def rectified_sigmoid(v: Tensor) -> Tensor:
    """h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1), equation 23.

    Args:
        v: any shape.
    """
    return (STRETCH * torch.sigmoid(v) + SHIFT).clamp(0, 1)


def inverse_rectified_sigmoid(h: Tensor) -> Tensor:
    """The V that gives an h.

    Args:
        h: any shape, within [0, 1].
    """
    return torch.logit((h - SHIFT) / STRETCH)


def regularizer_slope(h: Tensor, beta: float) -> Tensor:
    """The derivative of 1 - |2 h - 1|^beta.

    Args:
        h: any shape.
        beta: > 1.
    """
    away = 2 * h - 1
    return -2 * beta * away.sign() * away.abs().pow(beta - 1)


def beta_at(progress: float) -> float | None:
    """beta at a share of all iterations: none in the warm-up, then on half a cosine from 20 to 2."""
    if progress < WARM_UP:
        return None
    start, end = BETA
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
