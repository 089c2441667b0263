"""Low-rank forms of a weight, in two or three factors, and the error of every rank without making one.

- spatial: a convolution kh x 1 to r channels, then one 1 x kw; the SVD of the weight as (in * kh) x (out * kw);
- input: a convolution 1 x 1 to r channels, then one kh x kw; the SVD of in x (out * kh * kw);
- output: a convolution kh x kw to r channels, then one 1 x 1; the SVD of (in * kh * kw) x out, a linear layer's, too;
- tucker: 1 x 1, kh x kw, 1 x 1: the input's and the output's channels both in fewer.

By the SVD the squared error of the weight is the sum of the discarded squared singular values. With the second moment
of the inputs it is the output that changes least (microjoule.numerics.whitened).

Source: Jaderberg et al. 2014, Speeding up Convolutional Neural Networks with Low Rank Expansions,
https://arxiv.org/abs/1405.3866, scheme 2 (spatial); Zhang et al. 2015, https://arxiv.org/abs/1505.06798 (output, with
data); Kim et al. 2016, Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications,
https://arxiv.org/abs/1511.06530, section 3 (Tucker-2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.numerics.low_rank_shapes import (
    Method,
    Rank,
    check_rank,
    factor_shapes,
    full_rank,
    separated,
    tucker_ranks,
)
from microjoule.numerics.whitened import alternated, explained, first_basis, leading

SWEEPS = 3
"""How often factors are improved in turn; most of what there is to gain comes in the first."""


@dataclass(frozen=True, slots=True)
class Factored:
    """A weight as factors, in the order in which they run.

    Args:
        method: the form.
        factors: weights (out, in, *kernel), in the type of the weight.
        weight: (out, in, *kernel), what they compute together, in the same type.
    """

    method: Method
    factors: tuple[Tensor, ...]
    weight: Tensor


def approximated(
    weight: Tensor, method: Method, rank: Rank, second: Tensor | None = None, *, sweeps: int = SWEEPS
) -> Factored:
    """A weight's factors.

    Args:
        weight: (out, in, *kernel).
        method: the form.
        rank: from 1 to the full one, at which the weight is reproduced whatever the inputs are.
        second: (in * kernel size, in * kernel size), the second moment of what each output reads, so that the output
            changes least; None for the weight itself to change least.
        sweeps: how often factors are improved in turn where there is no closed form.

    Raises:
        SettingError: for a rank out of range, or a form that the weight cannot have.
    """
    full = check_rank(tuple(weight.shape), method, rank)
    parts = weight.detach().double().reshape(separated(weight.shape, method))
    known = None if second is None or rank == full else second.double()
    if method == "tucker":
        factors = _tucker(parts, tucker_ranks(weight.shape, rank), known, sweeps)
    else:
        assert isinstance(rank, int)
        factors = _svd_factors(parts, rank) if known is None else _whitened_factors(parts, rank, known, sweeps)
    shapes = factor_shapes(weight.shape, method, rank)
    made = tuple(one.reshape(shape).to(weight.dtype) for one, shape in zip(factors, shapes, strict=True))
    return Factored(method, made, product(made).to(weight.dtype))


def errors(weight: Tensor, method: Method, second: Tensor | None = None) -> Tensor:
    """The squared error of every rank: of the weight, or of the output if the inputs' second moment is given.

    Exact without data for the forms of two factors, and with data for output. For the others it is that of the bases
    that the (whitened) SVDs give, the rest by least squares; `approximated` starts there and is never worse, and
    `output_error` of the difference of weights tells how much better it is. More rank is never worse.

    Args:
        weight: (out, in, *kernel).
        method: the form.
        second: (in * kernel size, in * kernel size), as in `approximated`.

    Returns:
        (full_rank + 1,), float64: that of rank r at r; all there is at 0, and 0 at the full rank.

    Raises:
        SettingError: for a form that the weight cannot have.
    """
    parts = weight.detach().double().reshape(separated(weight.shape, method))
    known = None if second is None else second.double()
    if method == "tucker":
        return _tucker_errors(weight.shape, parts, known)
    if known is None:
        return _discarded(_svd(parts)[1].square())
    found = explained(parts, known, first_basis(parts, known))[0]
    return _discarded(found.square().sum(0).unflatten(0, (-1, parts.shape[2])).sum(1))


def _discarded(energies: Tensor) -> Tensor:
    """What is left of energies (n,) after the first 0, 1, ..., n."""
    return torch.cat([energies.flip(0).cumsum(0).flip(0), energies.new_zeros(1)])


# Two factors ----------------------------------------------------------------------------------------------------------


def _svd(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a weight (out, a, b) as a x (out * b)."""
    found: tuple[Tensor, Tensor, Tensor] = torch.linalg.svd(parts.transpose(0, 1).flatten(1), full_matrices=False)
    return found


def _svd_factors(parts: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """First (rank, a) and last (out, rank, b) with the least error of the weight."""
    left, values, right = _svd(parts)
    root = values.sqrt()
    return (left * root)[:, :rank].T, _last((root[:, None] * right)[:rank], parts.shape[2])


def _whitened_factors(parts: Tensor, rank: int, second: Tensor, sweeps: int) -> tuple[Tensor, Tensor]:
    """The same with the least error of the output."""
    return _balanced(*alternated(parts, second, rank, sweeps=sweeps))


def _last(rows: Tensor, b: int) -> Tensor:
    """(rank, out * b) as (out, rank, b)."""
    blocks: Tensor = rows.unflatten(1, (-1, b))
    return blocks.transpose(0, 1)


def _balanced(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The same product (rank, a), (out, rank, b), with the square roots of its singular values on both sides."""
    (left, upper), (right, lower) = torch.linalg.qr(first.T), torch.linalg.qr(last.transpose(0, 1).flatten(1).T)
    p, values, q = torch.linalg.svd(upper @ lower.T)
    root = values.sqrt()
    return (left @ p * root).T, _last((right @ q.T * root).T, last.shape[2])


# Three factors --------------------------------------------------------------------------------------------------------


def _tucker(parts: Tensor, ranks: tuple[int, int], second: Tensor | None, sweeps: int) -> tuple[Tensor, ...]:
    """First (r_in, in), core (r_out, r_in, b) and last (out, r_out) of a weight (out, in, b)."""
    inputs, outputs = ranks
    if second is None:
        first, left = _hooi(parts, ranks, sweeps)
        last = torch.einsum("oab,ra->orb", parts, first)
    else:
        first, last = alternated(parts, second, inputs, out_rank=outputs, sweeps=sweeps)
        left = leading(last.flatten(1), outputs)
    return first, torch.einsum("op,orb->prb", left, last), left


def _hooi(parts: Tensor, ranks: tuple[int, int], sweeps: int) -> tuple[Tensor, Tensor]:
    """Orthonormal bases of inputs (r_in, in) and outputs (out, r_out): by HOSVD, then either for the other in turn."""
    inputs, outputs = ranks
    left, first = leading(parts.flatten(1), outputs), leading(parts.transpose(0, 1).flatten(1), inputs)
    for _ in range(sweeps):
        first = leading(torch.einsum("op,oab->apb", left, parts).flatten(1), inputs)
        left = leading(torch.einsum("oab,ar->orb", parts, first).flatten(1), outputs)
    return first.T, left


def _tucker_errors(shape: torch.Size, parts: Tensor, second: Tensor | None) -> Tensor:
    """With bases of inputs and outputs that are found apart, and the core by least squares."""
    if second is None:
        found = torch.einsum("oab,ar->orb", parts, _svd(parts)[0]).flatten(1)
    else:
        found = explained(parts, second, first_basis(parts, second))[0]
    left = torch.linalg.svd(found, full_matrices=False)[0]
    energies = (left.T @ found).square().unflatten(1, (-1, parts.shape[2])).sum(2)
    kept, total = energies.cumsum(0).cumsum(1), energies.sum()
    pairs = [tucker_ranks(shape, rank) for rank in range(1, full_rank(shape, "tucker"))]
    some = [total - kept[outputs - 1, inputs - 1] for inputs, outputs in pairs]
    return torch.stack([total, *some, torch.zeros_like(total)]).clamp(min=0)


# Their product --------------------------------------------------------------------------------------------------------


def product(factors: tuple[Tensor, ...]) -> Tensor:
    """The weight that factors compute together, (out, in, *kernel), in float64.

    Args:
        factors: (out, in, *kernel) each, in the order in which they run; on each axis all but one have one tap, and
            those with taps on earlier axes come first.
    """
    total = factors[0].double()
    for factor in factors[1:]:
        kernel = [max(sizes) for sizes in zip(total.shape[2:], factor.shape[2:], strict=True)]
        taps = [one.reshape(*one.shape[:2], -1) for one in (total, factor.double())]
        found: Tensor = torch.einsum("rax,ory->oaxy", *taps)
        total = found.reshape(*found.shape[:2], *kernel)
    return total
