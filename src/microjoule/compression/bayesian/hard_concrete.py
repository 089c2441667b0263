"""L0 regularization: the number of units that are not 0, made differentiable.

A binary gate is relaxed to a concrete variable s in (0, 1), stretched to (gamma, zeta) and clamped to [0, 1], so that
it is exactly 0 or 1 with a probability above 0, and has a gradient in between:

    s = sigmoid((log u - log(1 - u) + log alpha) / beta),   z = min(1, max(0, s (zeta - gamma) + gamma)).

The penalty is the expected number of gates that are not 0.

Source: Louizos, Welling and Kingma 2018, Learning Sparse Neural Networks through L0 Regularization,
https://arxiv.org/abs/1712.01312, section 2.2, equations 10 to 13, and section 4 for the constants.
"""

import math

import torch
from torch import Tensor, nn

from microjoule.compression.bayesian.gate import Gate

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
"""The temperature and the ends of the stretched interval: section 4."""

FIRST_LOG_ODDS = 2.0
"""log alpha at the beginning: 98 % of the gates are open."""

EDGE = 1e-6
"""Uniform numbers are drawn this far from 0 and 1, whose logarithms are not finite."""


def hard_concrete(log_odds: Tensor, uniform: Tensor) -> Tensor:
    """A gate from a uniform number.

    Args:
        log_odds: log alpha, any shape.
        uniform: in (0, 1), shaped to broadcast against `log_odds`.

    Returns:
        In [0, 1], of the shape of both together.
    """
    concrete = torch.sigmoid((uniform.log() - torch.log1p(-uniform) + log_odds) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_odds: Tensor) -> Tensor:
    """P(z > 0) = sigmoid(log alpha - beta log(-gamma / zeta)).

    Args:
        log_odds: log alpha, any shape.

    Returns:
        As `log_odds`.
    """
    return torch.sigmoid(log_odds - BETA * math.log(-GAMMA / ZETA))


def fixed_gate(log_odds: Tensor) -> Tensor:
    """The gate that the trained network has: min(1, max(0, sigmoid(log alpha) (zeta - gamma) + gamma)).

    Args:
        log_odds: log alpha, any shape.

    Returns:
        As `log_odds`.
    """
    return (torch.sigmoid(log_odds) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


class HardConcreteGate(Gate):
    """Gates that are 0 or 1 or between.

    Args:
        units: how many there are.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.log_odds = nn.Parameter(torch.full((units,), FIRST_LOG_ODDS))

    def draw(self, samples: int) -> Tensor:
        """(samples, units)."""
        drawn = torch.rand(samples, *self.log_odds.shape, device=self.log_odds.device)
        return hard_concrete(self.log_odds, drawn.clamp(EDGE, 1 - EDGE))

    def fixed(self) -> Tensor:
        """(units,)."""
        return fixed_gate(self.log_odds)

    def divergence(self) -> Tensor:
        """(units,): the probability that it is not 0."""
        return open_probability(self.log_odds)

    def score(self) -> Tensor:
        """(units,): 0 where the fixed gate reaches 0, above where it would be below."""
        return -(self.log_odds - math.log(-GAMMA / ZETA))
