"""Weight ranges by what rounding does to a layer's output, not to its weights.

A row w of a layer's weight gives w x. Rounded to q it reads x', what the layers before give once they are quantized,
too. The squared error of the output is a quadratic form in moments of the inputs, whatever the number of samples,

    E[(w x - q x')^2]  =  q E[x' x'^T] q^T  -  2 w E[x x'^T] q^T  +  w E[x x^T] w^T

of which the last term does not depend on the rounding. A clipped weight that reads small or seldom inputs costs
little; of weights that read large ones even small errors count, and errors of weights whose inputs go together cancel.

Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization,
https://arxiv.org/abs/2004.10568, section 3.2 (the quadratic form) and 3.3 (inputs from quantized layers), here for
ranges in place of roundings.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from microjoule.errors import SettingError
from microjoule.numerics.affine import Affine, affine_from_range, fake_quantize
from microjoule.numerics.grid import Scheme

CANDIDATES = tuple(1 - 0.03 * k for k in range(21))
"""Shares of the whole range that are tried, from all of it to 0.4."""


def varying_output_error(
    weight: Tensor, rounded: Tensor, second_moment: Tensor, cross_moment: Tensor | None = None
) -> Tensor:
    """What rounding adds to each row's squared output error, up to a constant of the row.

        q E[x' x'^T] q^T - 2 w E[x x'^T] q^T

    Args:
        weight: (rows, n), before rounding.
        rounded: (rows, n), after.
        second_moment: (groups, n, n), E[x' x'^T] of the inputs that the rounded weight reads; each group's moments are
            those of as many rows, in order.
        cross_moment: shape of `second_moment`, E[x x'^T] with the inputs that the weight reads in floating point; None
            if both are the same.

    Returns:
        (rows,), float64; it may be negative.
    """
    cross = second_moment if cross_moment is None else cross_moment
    w, q = (rows.double().unflatten(0, (len(second_moment), -1)) for rows in (weight, rounded))
    error: Tensor = (torch.matmul(q, second_moment.double()) - 2 * torch.matmul(w, cross.double())) * q
    return error.sum(2).flatten()


def least_output_error_range(
    weight: Tensor,
    second_moment: Tensor,
    scheme: Scheme,
    *,
    scale_of: Tensor,
    cross_moment: Tensor | None = None,
    candidates: Sequence[float] = CANDIDATES,
) -> tuple[Tensor, Tensor]:
    """The share of each scale's whole range with the least squared error of the layer's output.

    Of equal errors the first candidate wins, so that with 1 as the first the error is never above that of min-max.

    Args:
        weight: (rows, n), each output channel's weights.
        second_moment: (groups, n, n), E[x' x'^T] of the inputs that a group of rows reads; one group for most layers.
        scheme: the grid; which rows share a scale is told by `scale_of` alone.
        scale_of: (rows,), the index of the scale that each row is rounded with.
        cross_moment: shape of `second_moment`, E[x x'^T] with the inputs x of the network in floating point; None if
            they are the same.
        candidates: shares of the range, each above 0 and at most 1.

    Returns:
        low and high, (scales,).

    Raises:
        SettingError: for shapes that do not fit, or candidates out of range.
    """
    _check(weight, second_moment, scale_of, candidates)
    by_row, scales = replace(scheme, axis=0, block=None), int(scale_of.max()) + 1
    none = weight.new_zeros(scales)
    low = none.scatter_reduce(0, scale_of, weight.amin(1), "amin")
    high = none.scatter_reduce(0, scale_of, weight.amax(1), "amax")
    least = torch.full_like(none, torch.inf, dtype=torch.float64)
    best = none
    for share in candidates:
        shared = affine_from_range(share * low, share * high, by_row)
        rounded = fake_quantize(weight, Affine(by_row, shared.scale[scale_of], shared.zero_point[scale_of]))
        error = varying_output_error(weight, rounded, second_moment, cross_moment)
        total = torch.zeros_like(least).index_add(0, scale_of, error)
        best, least = torch.where(total < least, share, best), torch.minimum(total, least)
    return best * low, best * high


def _check(weight: Tensor, second_moment: Tensor, scale_of: Tensor, candidates: Sequence[float]) -> None:
    rows, n = weight.shape
    if second_moment.dim() != 3 or second_moment.shape[1:] != (n, n) or rows % len(second_moment):
        raise SettingError(
            "second_moment",
            f"has the shape {tuple(second_moment.shape)} for a weight of shape {tuple(weight.shape)}",
            remedy=f"give (groups, {n}, {n}), with a number of groups that divides {rows}",
        )
    if scale_of.shape != (rows,):
        raise SettingError(
            "scale_of",
            f"has the shape {tuple(scale_of.shape)} for a weight of shape {tuple(weight.shape)}",
            remedy="give one index a row",
        )
    if not candidates or not all(0 < share <= 1 for share in candidates):
        raise SettingError("candidates", f"are {list(candidates)}", remedy="give shares above 0, at most 1")
