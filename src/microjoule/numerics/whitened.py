"""A weight as a product of two factors, so that its output changes least: second moments of the inputs in, factors out.

A weight is taken as W[o, a, b], where the first factor reads the inputs a and the second makes the outputs o:

    W'[o, a, b]  =  sum_r  H[o, r, b] V[r, a]

With A the second moment of the inputs (a, b), the output loses

    E || (W - W') x ||^2  =  tr((W - W') A (W - W')^T).

If A were a product of a part of `a` and one of `b`, the SVD of the whitened weight would give the best V. From there,
either factor is a least-squares problem while the other is held. V by the SVD and H by least squares give the error of
every rank at once: with the Gram matrix E A E^T of what the second factor reads, its Cholesky factor L and C = W A E^T,
the rank r explains the first r blocks of columns of C L^-T, as leading blocks of L are those of smaller ranks.

For one b (a linear layer, a 1x1 convolution, or a k x k convolution before a 1x1 one) this is the best there is.

Source: Zhang et al. 2015, Accelerating Very Deep Convolutional Networks for Classification and Detection,
https://arxiv.org/abs/1505.06798, section 3.1 (one b: the principal components of the responses); for several b the same
by alternating least squares.
"""

import torch
from torch import Tensor

JITTER = 1e-10
"""Share of a Gram matrix's mean diagonal that is added to it; ten times as much where that does not make it definite,
as of moments that were summed in single precision."""

STEPS = 8
"""Conjugate-gradient steps for the first factor in each sweep; each lowers the error."""


def output_error(change: Tensor, second: Tensor) -> Tensor:
    """E || D x ||^2 = tr(D A D^T), ().

    Args:
        change: (out, inputs), D.
        second: (inputs, inputs), A.
    """
    d = change.double()
    return ((d @ second.double()) * d).sum()


def first_basis(weight: Tensor, second: Tensor) -> Tensor:
    """First factors of every rank, the best ones if A were a product: those of rank r are the first r rows.

    The parts of A are its partial traces. No inverse is needed: with the SVD  P S Q^T  of the weight, whitened on both
    sides, the rows are those of Q^T times the weight, whitened on the side of b alone.

    Args:
        weight: (out, a, b).
        second: (a * b, a * b), A.

    Returns:
        (min(a, out * b), a), in rows of length 1.
    """
    out, a, b = weight.shape
    blocks = second.unflatten(0, (a, b)).unflatten(2, (a, b))
    of_a, of_b = (blocks.diagonal(dim1=dims[0], dim2=dims[1]).sum(-1) for dims in ((1, 3), (0, 2)))
    columns = (weight @ cholesky(of_b)).transpose(0, 1).reshape(a, out * b)
    right = torch.linalg.svd(cholesky(of_a).T @ columns, full_matrices=False)[2]
    return unit_rows(right @ columns.T)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros becomes an arbitrary one.

    Args:
        rows: (rows, columns).
    """
    length = rows.norm(dim=1, keepdim=True)
    empty = length <= length.max() * torch.finfo(rows.dtype).tiny
    return torch.where(empty, torch.full_like(rows, rows.shape[1] ** -0.5), rows / length.where(~empty, length + 1))


def cholesky(matrix: Tensor) -> Tensor:
    """The lower factor of a matrix that may be singular.

    Args:
        matrix: (n, n), symmetric, finite, with no negative eigenvalue but by rounding.
    """
    mean, share = matrix.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny), JITTER
    factor, failed = torch.linalg.cholesky_ex(matrix + share * mean * torch.eye(len(matrix)).to(matrix))
    while failed:
        share *= 10
        factor, failed = torch.linalg.cholesky_ex(matrix + share * mean * torch.eye(len(matrix)).to(matrix))
    found: Tensor = factor
    return found


def explained(weight: Tensor, second: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """C L^-T, of which the squares are what each row of the first factor explains, and L.

    Args:
        weight: (out, a, b).
        second: (a * b, a * b), A.
        first: (rank, a), V.

    Returns:
        (out, rank * b), and (rank * b, rank * b).
    """
    rank, b = len(first), weight.shape[2]
    gram = torch.einsum("rjak,sa->rjsk", _read(first, second, b), first).reshape(rank * b, rank * b)
    factor = cholesky((gram + gram.T) / 2)
    cross = ((weight.flatten(1) @ second).unflatten(1, weight.shape[1:]).transpose(1, 2) @ first.T).transpose(1, 2)
    found: Tensor = torch.linalg.solve_triangular(factor, cross.flatten(1).T, upper=False)
    return found.T, factor


def best_second(weight: Tensor, second: Tensor, first: Tensor, out_rank: int | None = None) -> Tensor:
    """The second factor with the least error, by least squares.

    Args:
        weight: (out, a, b).
        second: (a * b, a * b), A.
        first: (rank, a), V.
        out_rank: at most this many different outputs (reduced-rank regression); None for no limit.

    Returns:
        (out, rank, b), H.
    """
    found, factor = explained(weight, second, first)
    if out_rank is not None and out_rank < min(found.shape):
        left = leading(found, out_rank)
        found = left @ (left.T @ found)
    solved: Tensor = torch.linalg.solve_triangular(factor.T, found.T, upper=True)
    return solved.T.reshape(-1, len(first), weight.shape[2])


def better_first(weight: Tensor, second: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """A first factor with less error, for a second one that is held: conjugate gradients on the normal equations.

    The equations are preconditioned by what they would be if A were a product.

    Args:
        weight: (out, a, b).
        second: (a * b, a * b), A.
        first: (rank, a), V, where to start.
        last: (out, rank, b), H.

    Returns:
        (rank, a).
    """
    _, a, b = weight.shape
    blocks = second.unflatten(0, (a, b)).unflatten(2, (a, b))
    of_a, of_b = (blocks.diagonal(dim1=dims[0], dim2=dims[1]).sum(-1) for dims in ((1, 3), (0, 2)))
    gram = torch.einsum("orj,osk->rjsk", last, last)
    left, right = cholesky(torch.einsum("rjsk,kj->rs", gram, of_b)), cholesky(of_a)

    def applied(rows: Tensor) -> Tensor:
        found: Tensor = torch.einsum("rjsk,skaj->ra", gram, _read(rows, second, b))
        return found

    def preconditioned(rows: Tensor) -> Tensor:
        return torch.cholesky_solve(torch.cholesky_solve(rows, left).T, right).T

    wanted = torch.einsum("orj,oaj->ra", last, (weight.flatten(1) @ second).unflatten(1, (a, b)))
    found, residual = first, wanted - applied(first)
    ahead = preconditioned(residual)
    direction, size = ahead, (residual * ahead).sum()
    least = size * torch.finfo(size.dtype).eps
    for _ in range(STEPS):
        moved = applied(direction)
        curvature = (direction * moved).sum()
        if size <= least or curvature <= 0:
            break
        found, residual = found + size / curvature * direction, residual - size / curvature * moved
        ahead = preconditioned(residual)
        before, size = size, (residual * ahead).sum()
        direction = ahead + size / before * direction
    return found


def _error(weight: Tensor, second: Tensor, first: Tensor, last: Tensor) -> float:
    return float(output_error((weight - torch.einsum("orb,ra->oab", last, first)).flatten(1), second))


def leading(rows: Tensor, rank: int) -> Tensor:
    """An orthonormal basis of the directions in which columns are largest, completed if there are fewer.

    Args:
        rows: (n, columns).
        rank: at most n.

    Returns:
        (n, rank).
    """
    directions: Tensor = torch.linalg.eigh(rows @ rows.T)[1]
    return directions.flip(1)[:, :rank]


def _read(first: Tensor, second: Tensor, b: int) -> Tensor:
    """V A: the moments of what each row of the first factor gives, at each b, with each input (rank, b, a, b)."""
    a = first.shape[1]
    found: Tensor = first @ second.reshape(a, -1)
    return found.reshape(len(first), b, a, b)


def alternated(
    weight: Tensor, second: Tensor, rank: int, *, out_rank: int | None = None, sweeps: int
) -> tuple[Tensor, Tensor]:
    """Both factors: from the whitened SVD, or the plain one if that is better, by least squares on either in turn.

    No sweep makes the error larger.

    Args:
        weight: (out, a, b).
        second: (a * b, a * b), A.
        rank: of the first factor.
        out_rank: as in `best_second`.
        sweeps: how often the first factor is improved; for one b and no limit the start is the best already.

    Returns:
        V (rank, a) and H (out, rank, b).
    """
    first = first_basis(weight, second)[:rank]
    last = best_second(weight, second, first, out_rank)
    if weight.shape[2] > 1:
        plain = leading(weight.transpose(0, 1).flatten(1), rank).T
        start = plain, best_second(weight, second, plain, out_rank)
        first, last = min((first, last), start, key=lambda pair: _error(weight, second, *pair))
    for _ in range(sweeps if weight.shape[2] > 1 else 0):
        first = better_first(weight, second, first, last)
        first = torch.linalg.qr(first.T)[0].T
        last = best_second(weight, second, first, out_rank)
    return first, last
