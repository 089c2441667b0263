"""How much each unit of a channel group matters, by its weights or by gradients of gates; the least goes first.

    L2 norm            I_u^2  =  mean over layers of  |W_u|^2 / mean_v |W_v|^2
    geometric median   I_u    =  sum_v |F_u - F_v|                  F the filters that make the units
    Taylor             I_u    =  E | dL / dz_u |                    z a gate of 1 that the unit is multiplied by
    Fisher             I_u    =  1/2 E ( dL / dz_u )^2

dL / dz_u is, to first order, what the loss L of a sample would fall by if the unit were gone. A filter near the
geometric median of all is one that the others can stand in for.

Source: Li et al. 2017, Pruning Filters for Efficient ConvNets, https://arxiv.org/abs/1608.08710, section 3.1, over all
layers that a unit ties as Fang et al. 2023, DepGraph, https://arxiv.org/abs/2301.12900, section 3.3; He et al. 2019,
Filter Pruning via Geometric Median, https://arxiv.org/abs/1811.00250, section 3.3; Molchanov et al. 2017, Pruning
Convolutional Neural Networks for Resource Efficient Inference, https://arxiv.org/abs/1611.06440, section 2.2; Theis et
al. 2018, Faster gaze prediction with dense networks and Fisher pruning, https://arxiv.org/abs/1801.05787, section 2.2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def order_of(importance: Tensor) -> list[int]:
    """All units but the last one, what matters least first; among equals in the order of the units.

    Args:
        importance: (units,).
    """
    return torch.argsort(importance, stable=True)[:-1].tolist()


def norms(weights: Sequence[Tensor]) -> Tensor:
    """The L2 norm of all weights of each unit, (units,), float64; each layer's relative to its own mean.

    A layer scaled by s and its reader by 1 / s give the same as before.

    Args:
        weights: of each layer that makes or reads the units, (units, weights of a unit).
    """
    return torch.stack([_relative(one).square().sum(1) for one in weights]).mean(0).sqrt()


def geometric_median(filters: Sequence[Tensor]) -> Tensor:
    """The sum of the distances of each unit's filters to those of all units, (units,), float64.

    Args:
        filters: of each layer that makes the units, (units, weights of a unit); each counts relative to its own mean.
    """
    together = torch.cat([_relative(one) for one in filters], 1)
    return torch.cdist(together, together, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def taylor(gradients: Tensor) -> Tensor:
    """The mean absolute change of the loss to first order, (units,), float64.

    Args:
        gradients: (samples, units), of each sample's loss by the units' gates.
    """
    return gradients.double().abs().mean(0)


def fisher(gradients: Tensor) -> Tensor:
    """The change of the loss to second order, its curvature taken from the gradients' squares: (units,), float64.

    Args:
        gradients: (samples, units), as `taylor` takes them.
    """
    return gradients.double().square().mean(0) / 2


def _relative(weights: Tensor) -> Tensor:
    """With squared norms that are 1 on average over the units; weights that are all 0 stay so."""
    exact = weights.detach().double()
    mean = exact.square().sum(1).mean()
    return exact / mean.sqrt() if bool(mean > 0) else exact
