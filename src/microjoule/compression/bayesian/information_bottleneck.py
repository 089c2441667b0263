"""The variational information bottleneck: each layer passes on as little as the next ones can do with.

Each unit is multiplied by z ~ N(mu, sigma^2). The divergence from a normal prior of mean 0 whose variance is the best
one, xi = mu^2 + sigma^2, bounds what the layer tells about its inputs:

    min over xi  KL(N(mu, sigma^2) || N(0, xi)) = 0.5 log(1 + mu^2 / sigma^2).

It falls to 0 where the mean is small against the noise; such a unit tells nothing and goes. Each unit counts once: the
published code multiplies a layer's part by the size of its maps and a factor of its own, which is left away here.

Source: Dai, Zhu, Guo and Wipf 2018, Compressing Neural Networks using the Variational Information Bottleneck,
https://arxiv.org/abs/1802.10399, section 2, equations 7 to 10.
"""

import torch
from torch import Tensor

from microjoule.compression.bayesian.gate import NormalGate

FIRST_LOG_VARIANCE = -6.0
"""Of a factor of 1: noise of 5 %."""

NEVER = 1e-8
"""Added to what a logarithm is taken of."""


def bottleneck_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """0.5 log(1 + mu^2 / sigma^2).

    Args:
        mean: mu, any shape.
        log_variance: log sigma^2, as `mean`.

    Returns:
        As `mean`, >= 0.
    """
    return 0.5 * torch.log1p(mean.square() * (-log_variance).exp())


def noise_ratio(mean: Tensor, log_variance: Tensor) -> Tensor:
    """log(sigma^2 / mu^2): 0 and above is pruned.

    Args:
        mean: mu, any shape.
        log_variance: log sigma^2, as `mean`.

    Returns:
        As `mean`.
    """
    return log_variance - (mean.square() + NEVER).log()


class BottleneckGate(NormalGate):
    """Factors with normal posteriors.

    Args:
        units: how many there are.
    """

    def __init__(self, units: int) -> None:
        super().__init__(units, FIRST_LOG_VARIANCE)

    def divergence(self) -> Tensor:
        """(units,)."""
        return bottleneck_divergence(self.mean, self.log_variance)

    def score(self) -> Tensor:
        """(units,): log(sigma^2 / mu^2)."""
        return noise_ratio(self.mean, self.log_variance)
