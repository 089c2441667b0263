"""How many of a matrix's singular values are more than noise: the rank of empirical variational Bayes.

A matrix L x M (L <= M) is taken as a product of two Gaussian factors with variances of their own, plus noise of
variance s2. The posterior's mean keeps the singular values above

    sqrt(M s2 (1 + t) (1 + a / t)),   a = L / M,   t = 2.5129 sqrt(a),

and s2 is what minimises the free energy, a function of one number.

Source: Nakajima, Sugiyama, Babacan, Tomioka 2013, Global Analytic Solution of Fully-observed Variational Bayesian
Matrix Factorization, https://jmlr.org/papers/v14/nakajima13a.html, section 4; for ranks of convolutions Kim et al.
2016, https://arxiv.org/abs/1511.06530, section 3.2.
"""

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

SLOPE = 2.5129
"""The threshold's t over sqrt(a): the paper's fit to where keeping a component begins to lower the free energy."""


def variational_rank(matrix: Tensor) -> int:
    """How many singular values are more than noise; 0 if none is.

    Args:
        matrix: (rows, columns).
    """
    values = torch.linalg.svdvals(matrix.double())
    long = max(matrix.shape)
    ratio = min(matrix.shape) / long
    if not values[0] > 0:
        return 0
    scaled = (values.square() / (long * values.square().mean())).clamp(min=torch.finfo(torch.float32).tiny)
    limit = _limit(ratio)
    return int((scaled > limit * _noise(scaled, ratio, limit)).sum())


def _limit(ratio: float) -> float:
    """The square of the least singular value that is kept, over M s2."""
    slope = SLOPE * math.sqrt(ratio)
    return (1 + slope) * (1 + ratio / slope)


def _noise(squares: Tensor, ratio: float, limit: float) -> float:
    """The noise's variance, of squared singular values (L,) over M; it is between the bounds that the paper gives."""
    most = min(math.ceil(len(squares) / (1 + ratio)) - 1, len(squares) - 1)
    low = max(float(squares[most]) / limit, float(squares[most:].mean()), torch.finfo(torch.float32).tiny)
    high = max(float(squares.mean()), low)
    found = minimize_scalar(
        lambda log: free_energy(squares / math.exp(log), ratio, limit),
        bounds=(math.log(low), math.log(high) + 1e-9),
        method="bounded",
    )
    return math.exp(found.x)


def free_energy(squares: Tensor, ratio: float, limit: float) -> float:
    """The free energy of a noise variance, up to a constant.

    Args:
        squares: (L,), > 0, squared singular values over M s2.
        ratio: L / M.
        limit: above which they are kept.
    """
    kept, noise = squares[squares > limit], squares[squares <= limit]
    middle = kept - (1 + ratio)
    t = (middle + (middle.square() - 4 * ratio).sqrt()) / 2
    of_kept = kept - t + ((t + 1) / kept).log() + ratio * (t / ratio + 1).log()
    return float(of_kept.sum() + (noise - noise.log()).sum())
