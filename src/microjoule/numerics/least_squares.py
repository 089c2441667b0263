"""Least squares from second moments: what a linear layer loses by other weights, without looking at its data again.

With centred inputs x and outputs y, A = E[x x^T] and B = E[y x^T],

    E || y - W x ||^2  ==  (W - W*) A (W - W*)^T + constant,   W* = B A^-1,

so all there is to know of the data is A, as large as one input, and W*. A layer's bias is fitted apart: the best one
takes out the mean, b = E[y] - W E[x].
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of inputs and outputs, in float64; `groups` are problems of their own.

    Args:
        input_mean: (groups, inputs).
        output_mean: (groups, outputs).
        second: (groups, inputs, inputs), of centred inputs: A.
        cross: (groups, outputs, inputs), of centred outputs with inputs: B.
        output_variance: (groups, outputs).
    """

    input_mean: Tensor
    output_mean: Tensor
    second: Tensor
    cross: Tensor
    output_variance: Tensor


def moments(inputs: Tensor, outputs: Tensor) -> Moments:
    """Moments of samples.

    Args:
        inputs: (groups, rows, inputs).
        outputs: (groups, rows, outputs).
    """
    input_mean, output_mean = inputs.double().mean(1), outputs.double().mean(1)
    x, y = inputs - input_mean[:, None].to(inputs), outputs - output_mean[:, None].to(outputs)
    rows = inputs.shape[1]
    second, cross = (x.transpose(1, 2) @ x).double() / rows, (y.transpose(1, 2) @ x).double() / rows
    return Moments(input_mean, output_mean, second, cross, y.double().square().mean(1))


def refit(weight: Tensor, known: Moments, *, ridge: float) -> Tensor:
    """The weights with the least squared error, drawn towards those that there are.

        argmin_W'  E || y - W' x ||^2 + ridge sum_k A_kk (W'_k - W_k)^2

    Args:
        weight: (groups, outputs, inputs).
        known: of the inputs and outputs.
        ridge: > 0, relative to the mean square of each input; the larger, the nearer to `weight`.

    Returns:
        As `weight`, in float64.
    """
    start = weight.double()
    left = damped(known.second, ridge)
    return start + torch.linalg.solve(left, (known.cross - start @ known.second).transpose(1, 2)).transpose(1, 2)


def damped(second: Tensor, damping: float) -> Tensor:
    """A with its diagonal larger by a share, and positive even where an input never changes.

    Args:
        second: (groups, inputs, inputs).
        damping: share of the diagonal.
    """
    diagonal = second.diagonal(dim1=1, dim2=2)
    least = diagonal.mean(1, keepdim=True) * DEAD_SHARE + torch.finfo(torch.float32).tiny
    return second + torch.diag_embed(damping * diagonal + (least - diagonal).clamp(min=0))


DEAD_SHARE = 1e-6
"""An input whose mean square is less than this share of the others' counts as having it; it hardly matters then."""


def squared_error(weight: Tensor, known: Moments) -> Tensor:
    """E (y - W x)^2 of each centred output, (groups, outputs).

    Args:
        weight: (groups, outputs, inputs).
        known: of the inputs and outputs.
    """
    w = weight.double()
    return known.output_variance + ((w @ known.second - 2 * known.cross) * w).sum(2)


def best_bias(weight: Tensor, known: Moments) -> Tensor:
    """E[y] - W E[x], (groups, outputs).

    Args:
        weight: (groups, outputs, inputs).
        known: of the inputs and outputs.
    """
    return known.output_mean - (weight.double() @ known.input_mean[..., None]).squeeze(2)
