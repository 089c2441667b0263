"""A value per channel taken as normal, and what clipping does to its mean and variance.

With A = (low - mean) / std, B = (high - mean) / std, the density phi and distribution Phi of N(0, 1),

    E[clip(x)] = std (phi(A) - phi(B)) + mean (Phi(B) - Phi(A)) + low Phi(A) + high (1 - Phi(B)).

That form loses digits in the tails and knows no infinite bound. The same is written here as

    E[clip(x)] = clip(mean) + std (L(|A|) - L(|B|)),   L(t) = E[max(z - t, 0)] = phi(t) - t Phi(-t),

which is exact for std = 0 and infinite bounds. The variance is built from the second moment about the
point of [low, high] that is nearest to the mean, for the same reason.

Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
https://arxiv.org/abs/1906.04721, section 4.2.1 and appendix C.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.errors import DataError, SettingError


@dataclass(frozen=True, slots=True)
class Gaussian:
    """N(mean, std^2), a channel each.

    Args:
        mean: (channels,).
        std: (channels,), >= 0.

    Raises:
        DataError: for shapes that differ, values that are not finite, or a negative std.
    """

    mean: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.dim() != 1:
            raise DataError(
                "gaussian",
                f"mean has shape {tuple(self.mean.shape)} and std {tuple(self.std.shape)}",
                remedy="give both the shape (channels,)",
            )
        if not bool((torch.isfinite(self.mean) & torch.isfinite(self.std) & (self.std >= 0)).all()):
            raise DataError(
                "gaussian", "holds NaN, infinity or a negative std", remedy="check the statistics it is from"
            )

    def mean_of_clipped(self, low: Tensor | float, high: Tensor | float) -> Tensor:
        """E[clip(x, low, high)], (channels,).

        Args:
            low: () or (channels,), may be -inf.
            high: () or (channels,), may be inf.
        """
        return mean_of_clipped(self.mean, self.std, low=low, high=high)

    def var_of_clipped(self, low: Tensor | float, high: Tensor | float) -> Tensor:
        """Var[clip(x, low, high)], (channels,).

        Args:
            low: () or (channels,), may be -inf.
            high: () or (channels,), may be inf.
        """
        return var_of_clipped(self.mean, self.std, low=low, high=high)


def mean_of_clipped(mean: Tensor, std: Tensor, *, low: Tensor | float, high: Tensor | float) -> Tensor:
    """E[clip(x, low, high)] for x ~ N(mean, std^2), (channels,).

    Args:
        mean: (channels,).
        std: (channels,), >= 0.
        low: () or (channels,), may be -inf.
        high: () or (channels,), may be inf.
    """
    a, b, spread = _standardized(mean, std, low, high)
    nearest = torch.clamp(mean.double(), _exact(low, mean), _exact(high, mean))
    return (nearest + spread * (_excess(a.abs()) - _excess(b.abs()))).to(mean.dtype)


def var_of_clipped(mean: Tensor, std: Tensor, *, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Var[clip(x, low, high)] for x ~ N(mean, std^2), (channels,), >= 0.

    Args:
        mean: (channels,).
        std: (channels,), >= 0.
        low: () or (channels,), may be -inf.
        high: () or (channels,), may be inf.
    """
    a, b, spread = _standardized(mean, std, low, high)
    second = torch.where(a > 0, _second_beyond(a, b), _second_within(a.abs()) + _second_within(b.abs()))
    second = torch.where(b < 0, _second_beyond(-b, -a), second)
    shift = _excess(a.abs()) - _excess(b.abs())
    return (spread.square() * (second - shift.square()).clamp(min=0)).to(mean.dtype)


def _standardized(
    mean: Tensor, std: Tensor, low: Tensor | float, high: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """(low - mean) / std, (high - mean) / std, std in float64; a std of 0 is stood in for by 1, its spread stays 0."""
    mean, std = mean.double(), std.double()
    low, high = _exact(low, mean), _exact(high, mean)
    if not bool((low <= high).all()):
        raise SettingError("clip", "has a low above its high, or NaN", remedy="give low <= high")
    unit = torch.where(std > 0, std, 1.0)
    return (low - mean) / unit, (high - mean) / unit, std


def _exact(bound: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(bound, dtype=torch.float64, device=like.device)


def _tail(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """phi(t) and Phi(-t) without their factor exp(-t^2 / 2), and that factor: far tails keep their digits."""
    return torch.full_like(t, 1 / math.sqrt(2 * math.pi)), torch.special.erfcx(t / math.sqrt(2)) / 2, (-t * t / 2).exp()


def _excess(t: Tensor) -> Tensor:
    """L(t) = E[max(z - t, 0)] = phi(t) - t Phi(-t) for t >= 0; 0 at infinity."""
    phi, below, factor = _tail(t)
    return torch.where(factor > 0, (phi - t * below) * factor, 0.0)


def _squared_excess(t: Tensor) -> Tensor:
    """M(t) = E[max(z - t, 0)^2] = (1 + t^2) Phi(-t) - t phi(t) for t >= 0; 0 at infinity."""
    phi, below, factor = _tail(t)
    return torch.where(factor > 0, ((1 + t * t) * below - t * phi) * factor, 0.0)


def _second_beyond(a: Tensor, b: Tensor) -> Tensor:
    """E[(clip(z, a, b) - a)^2] for 0 < a <= b, = M(a) - M(b) - 2 (b - a) L(b)."""
    beyond = _excess(b)
    return _squared_excess(a) - _squared_excess(b) - torch.where(beyond > 0, 2 * (b - a) * beyond, 0.0)


def _second_within(t: Tensor) -> Tensor:
    """E[min(z, t)^2; z > 0] = t^2 Phi(-t) - t phi(t) + Phi(t) - 1/2 for t >= 0; 1/2 at infinity."""
    phi, below, factor = _tail(t)
    return torch.where(factor > 0, (t * t * below - t * phi) * factor, 0.0) + torch.erf(t / math.sqrt(2)) / 2
