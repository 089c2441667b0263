"""Bayesian compression with group normal-Jeffreys priors: units that noise can drown are not needed.

Each group of weights has a factor z with the improper prior p(z) ~ 1 / |z| and the posterior N(m, v); each weight has
the posterior N(mu, sigma^2) and a normal prior. The divergence of z depends on alpha = v / m^2 alone, so only noise is
cheap: where the loss does not object, alpha grows until the factor is nothing but noise, and the group can go. The
variance that remains of a weight tells how many bits of it matter.

The prior of the factor has no scale, hence the scale of the weights' prior is free; here it is the root mean square of
the layer's weights at the beginning, so that a trained network need not move first.

The rule for the bits is not the paper's, which compares the round-off 2^-t with twice the variance of each weight,
whatever the scale of the weights: here both are taken relative to the layer's largest weight.

Source: Louizos, Ullrich and Welling 2017, Bayesian Compression for Deep Learning, https://arxiv.org/abs/1705.08665,
sections 3.1 and 3.3, equations 7 to 11; the constants of the divergence: Molchanov et al. 2017,
https://arxiv.org/abs/1701.05369, equation 14.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.compression.bayesian.gate import NormalGate

K1, K2, K3 = 0.63576, 1.87320, 1.48695
"""Fitted to the exact divergence in Molchanov et al. 2017, equation 14."""

EXPONENT_BITS = 3
"""Of every weight, beside its sign: Louizos et al. 2017, section 3.3."""

NEVER = 1e-8
"""Added to a squared mean, so that its logarithm is finite."""

FIRST_LOG_ALPHA = -6.0
"""Of a factor at the beginning: noise of 5 %."""

FIRST_LOG_NOISE = -5.0
"""Of a weight's variance over its prior's at the beginning: noise of 8 % of a typical weight."""

MARGIN = 1.0
"""A factor whose noise is over e^-1 of its square is pruned: log alpha >= -1."""


# The equations --------------------------------------------------------------------------------------------------------


def log_alpha(mean: Tensor, log_variance: Tensor) -> Tensor:
    """log(v / m^2): how much of a factor is noise.

    Args:
        mean: m, any shape.
        log_variance: log v, as `mean`.

    Returns:
        As `mean`.
    """
    return log_variance - (mean.square() + NEVER).log()


def factor_divergence(log_alphas: Tensor) -> Tensor:
    """KL(N(m, v) || 1 / |z|) up to a constant that makes it 0 for pure noise.

        0.5 log(1 + 1 / alpha) + k1 (1 - sigmoid(k2 + k3 log alpha))

    Args:
        log_alphas: any shape.

    Returns:
        As `log_alphas`, > 0 and falling.
    """
    return 0.5 * F.softplus(-log_alphas) + K1 * torch.sigmoid(-(K2 + K3 * log_alphas))


def weight_divergence(mean: Tensor, log_variance: Tensor, prior_variance: float) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, s^2)) = 0.5 (sigma^2 / s^2 + mu^2 / s^2 - 1 - log(sigma^2 / s^2)).

    Args:
        mean: mu, any shape.
        log_variance: log sigma^2, as `mean`.
        prior_variance: s^2.

    Returns:
        As `mean`.
    """
    relative = log_variance - math.log(prior_variance)
    return 0.5 * (relative.exp() + mean.square() / prior_variance - 1 - relative)


def marginal_variance(mean: Tensor, variance: Tensor, weight: Tensor, weight_variance: Tensor) -> Tensor:
    """Var(z w) = m^2 sigma^2 + v mu^2 + v sigma^2 for independent z and w.

    Args:
        mean: m, shaped to broadcast against `weight`.
        variance: v, as `mean`.
        weight: mu, any shape.
        weight_variance: sigma^2, as `weight`.

    Returns:
        As `weight`.
    """
    return mean.square() * weight_variance + variance * weight.square() + variance * weight_variance


def significant_bits(variance: float, largest: float) -> int:
    """The bits of a significand whose unit round-off is within what the posterior leaves open.

    A significand of t bits rounds a weight by at most 2^-t of its power of two; with t the smallest for which
    this is at most one standard deviation for the largest weight:  2^-t largest <= deviation.

    Args:
        variance: the mean of the weights' posterior variances.
        largest: the largest weight.

    Returns:
        1 to 23.
    """
    if largest <= 0 or variance <= 0:
        return 1 if largest <= 0 else 23
    return min(23, max(1, math.ceil(math.log2(largest / math.sqrt(variance)))))


def round_to_bits(weight: Tensor, significant: int) -> Tensor:
    """The nearest numbers with a sign, a significand and an exponent of 3 bits.

    The largest of the 8 exponents is that of the largest weight, rounded; below the smallest the spacing stays.

    Args:
        weight: any shape.
        significant: bits of the significand, the leading one included.

    Returns:
        As `weight`.
    """
    largest = weight.abs().amax()
    if largest == 0:
        return weight.clone()
    top = torch.frexp(_rounded(largest, torch.frexp(largest)[1], significant))[1]
    return _rounded(weight, torch.frexp(weight)[1].clamp(top - 2**EXPONENT_BITS + 1), significant)


def _rounded(values: Tensor, exponents: Tensor, significant: int) -> Tensor:
    return torch.ldexp(torch.round(torch.ldexp(values, significant - exponents)), exponents - significant)


# What learns ----------------------------------------------------------------------------------------------------------


class NormalJeffreysGate(NormalGate):
    """Factors with normal posteriors.

    Args:
        units: how many there are.
    """

    def __init__(self, units: int) -> None:
        super().__init__(units, FIRST_LOG_ALPHA)

    def divergence(self) -> Tensor:
        """(units,)."""
        return factor_divergence(log_alpha(self.mean, self.log_variance))

    def score(self) -> Tensor:
        """(units,): log alpha over the threshold."""
        return log_alpha(self.mean, self.log_variance) + MARGIN


class NoisyWeight(nn.Module):
    """The posterior variances of one layer's weights; the means are the weights themselves.

    Args:
        weight: any shape, the layer's.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.prior_variance = float(weight.detach().square().mean().clamp_min(1e-12))
        first = FIRST_LOG_NOISE + math.log(self.prior_variance)
        self.log_variance = nn.Parameter(torch.full_like(weight, first))

    def divergence(self, weight: Tensor) -> Tensor:
        """(): of all weights.

        Args:
            weight: the means, of the layer's shape.
        """
        return weight_divergence(weight, self.log_variance, self.prior_variance).sum()

    def noise(self, layer: nn.Module, inputs: Tensor) -> Tensor:
        """What noise of the weights adds to the output: drawn there, once a value, with the variance it has.

        Source: Kingma, Salimans and Welling 2015, the local reparameterization trick,
        https://arxiv.org/abs/1506.02557, section 2.2.

        Args:
            layer: a convolution or linear layer.
            inputs: (n, in, ...), what it reads.

        Returns:
            (n, out, ...).
        """
        variances = self.log_variance.exp()
        if isinstance(layer, nn.Linear):
            variance = F.linear(inputs.square(), variances)
        else:
            variance = layer._conv_forward(inputs.square(), variances, None)  # type: ignore[operator]
        return (variance + NEVER).sqrt() * torch.randn_like(variance)
