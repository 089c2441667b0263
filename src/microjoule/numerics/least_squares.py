"""Least squares from second moments: what a linear layer loses by other weights, without looking at its data again.

With centred inputs x and outputs y, A = E[x x^T] and B = E[y x^T],

    E || y - W x ||^2  ==  (W - W*) A (W - W*)^T + constant,   W* = B A^-1,

so all there is to know of the data is A, as large as one input, and W*. A layer's bias is fitted apart: the best one
takes out the mean, b = E[y] - W E[x].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.errors import DataError

AT_ONCE = 2**20
"""Inputs whose products are summed in float32 at a time; what comes in smaller pieces is gathered up to that."""


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of inputs and outputs, in float64; `groups` are problems of their own.

    Args:
        input_mean: (groups, inputs).
        output_mean: (groups, outputs).
        second: (groups, inputs, inputs), of centred inputs: A.
        cross: (groups, outputs, inputs), of centred outputs with inputs: B.
        output_variance: (groups, outputs).
        rows: that they were taken over.
    """

    input_mean: Tensor
    output_mean: Tensor
    second: Tensor
    cross: Tensor
    output_variance: Tensor
    rows: int

    @property
    def scarcity(self) -> float:
        """Inputs for each row: by so much of itself a fit of weights strays by chance."""
        return self.second.shape[2] / self.rows


def moments(inputs: Tensor, outputs: Tensor) -> Moments:
    """Moments of samples.

    Args:
        inputs: (groups, rows, inputs).
        outputs: (groups, rows, outputs).
    """
    sums = RunningMoments()
    sums.update(inputs, outputs)
    return sums.moments()


class RunningMoments:
    """Moments of samples that come piece by piece; what is kept does not grow with them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._shift: tuple[Tensor, Tensor] | None = None
        self._sums: list[Tensor] = []
        self._rows = 0

    def update(self, inputs: Tensor, outputs: Tensor) -> None:
        """Take in a piece.

        Args:
            inputs: (groups, rows, inputs).
            outputs: (groups, rows, outputs).
        """
        some = max(1, AT_ONCE // (inputs.shape[0] * inputs.shape[2]))
        for piece in zip(inputs.split(some, 1), outputs.split(some, 1), strict=True):
            self._waiting.append(piece)
            if sum(x.shape[1] for x, _ in self._waiting) >= some:
                self._add()

    def moments(self) -> Moments:
        """Of all samples so far, of which there is at least one row."""
        self._add()
        assert self._shift is not None
        x, y, xx, yx, yy = (total / self._rows for total in self._sums)
        input_shift, output_shift = self._shift
        second, cross = xx - x[:, :, None] * x[:, None], yx - y[:, :, None] * x[:, None]
        return Moments(x + input_shift, y + output_shift, second, cross, yy - y.square(), self._rows)

    def _add(self) -> None:
        """Sum up what waits, about the mean of the first piece, so that little is lost when the mean is taken out."""
        if not self._waiting:
            return
        inputs, outputs = (torch.cat(parts, 1) for parts in zip(*self._waiting, strict=True))
        self._waiting.clear()
        if self._shift is None:
            self._shift = inputs.mean(1, dtype=torch.float64), outputs.mean(1, dtype=torch.float64)
        x, y = (v - shift[:, None].to(v) for v, shift in zip((inputs, outputs), self._shift, strict=True))
        found = _sums_of(x, y)
        if not all(bool(torch.isfinite(part).all()) for part in found):  # products beyond float32
            found = _sums_of(x.double(), y.double())
        self._sums = self._sums or [torch.zeros_like(part, dtype=torch.float64) for part in found]
        for total, part in zip(self._sums, found, strict=True):
            total.add_(part)
        self._rows += inputs.shape[1]


def _sums_of(x: Tensor, y: Tensor) -> list[Tensor]:
    return [x.sum(1), y.sum(1), x.transpose(1, 2) @ x, y.transpose(1, 2) @ x, y.square().sum(1)]


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
    change: Tensor = torch.linalg.solve(left, (known.cross - start @ known.second).transpose(1, 2))
    return start + change.transpose(1, 2)


def damped(second: Tensor, damping: float) -> Tensor:
    """A with its diagonal larger by a share, and positive even where an input never changes.

    Args:
        second: (groups, inputs, inputs).
        damping: share of the diagonal.
    """
    diagonal = second.diagonal(dim1=1, dim2=2)
    least = diagonal.mean(1, keepdim=True) * DEAD_SHARE + torch.finfo(torch.float32).tiny
    return second + torch.diag_embed(damping * diagonal + (least - diagonal).clamp(min=0))


def in_units(second: Tensor) -> Tensor:
    """A over the mean of its diagonal: which weights are best is the same, and float32 can hold it.

    Args:
        second: (groups, inputs, inputs).
    """
    mean: Tensor = second.diagonal(dim1=1, dim2=2).mean(1)
    return second / mean.clamp(min=torch.finfo(torch.float64).tiny)[:, None, None]


def inverse_root(second: Tensor) -> Tensor:
    """The upper U with A^-1 = U^T U, (groups, inputs, inputs), float64.

    A sum of products that was rounded may be a little less than positive definite. Its diagonal then grows until it is,
    at most to twice what it was: as large as all that stands beside it, if an input hangs together with another.

    Args:
        second: (groups, inputs, inputs), symmetric: A.

    Raises:
        DataError: if it holds NaN or infinity, or is none even so.
    """
    exact = second.double()
    for share in (0.0, 1e-6, 1e-4, 1e-2, 1.0):
        inverse, singular = torch.linalg.inv_ex(damped(exact, share) if share else exact)
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(inverse, upper=True)
        if not bool((singular.bool() | failed.bool()).any()) and bool(torch.isfinite(factor).all()):
            return factor
    raise DataError(
        "second moments",
        "cannot be inverted",
        remedy="look for NaN, infinity, or values near the largest float32 in the activations",
    )


def chance(known: Moments) -> Tensor:
    """How much of what inputs have in common is no more than chance, from 0 to 1, (groups,): OAS of correlations R.

        rho = ((1 - 2/p) tr R^2 + p^2) / ((n + 1 - 2/p) (tr R^2 - p)), at most 1, of p inputs in n rows

    Source: Chen, Wiesel, Eldar, Hero 2010, Shrinkage Algorithms for MMSE Covariance Estimation,
    https://arxiv.org/abs/0907.4698, equation 23 (oracle approximating shrinkage, there of covariances).

    Args:
        known: of the inputs; those that never change do not count.
    """
    diagonal = known.second.diagonal(dim1=1, dim2=2)
    live = diagonal > diagonal.mean(1, keepdim=True) * DEAD_SHARE
    root = torch.where(live, diagonal, torch.inf).rsqrt()
    squares = (known.second * root[:, :, None] * root[:, None]).square().sum((1, 2))
    count = live.sum(1).clamp(min=1)
    common = (known.rows + 1 - 2 / count) * (squares - count)
    return torch.where(common > 0, ((1 - 2 / count) * squares + count**2) / common, 1.0).clamp(max=1)


def trusted(known: Moments) -> Tensor:
    """Second moments of inputs as far as their rows tell, (groups, inputs, inputs).

        (1 - rho) A + rho diag A, rho by `chance`

    Of few rows, inputs seem to make up for one another that do not elsewhere: 400 images tell nearly nothing of how
    the 1280 inputs of a classifier hang together, and yet A leaves no error where 880 of them go.

    Args:
        known: of the inputs.
    """
    share = chance(known)[:, None, None]
    return damped((1 - share) * known.second + share * torch.diag_embed(known.second.diagonal(dim1=1, dim2=2)), 0.0)


DEAD_SHARE = 1e-6
"""An input whose mean square is less than this share of the others' counts as having it; it hardly matters then."""


def squared_error(weight: Tensor, known: Moments, bias: Tensor | None = None) -> Tensor:
    """E (y - W x - b)^2 of each output, (groups, outputs).

    Args:
        weight: (groups, outputs, inputs).
        known: of the inputs and outputs.
        bias: (groups * outputs,) or (groups, outputs); None for the best one.
    """
    w = weight.double()
    left = known.output_variance + ((w @ known.second - 2 * known.cross) * w).sum(2)
    return left if bias is None else left + (best_bias(w, known) - bias.double().reshape(left.shape)).square()


def best_bias(weight: Tensor, known: Moments) -> Tensor:
    """E[y] - W E[x], (groups, outputs).

    Args:
        weight: (groups, outputs, inputs).
        known: of the inputs and outputs.
    """
    return known.output_mean - (weight.double() @ known.input_mean[..., None]).squeeze(2)
