from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from microjoule.numerics.whitened import (
    JITTER,
    alternated,
    best_second,
    better_first,
    cholesky,
    explained,
    first_basis,
    leading,
    output_error,
    unit_rows,
)

seeds = st.integers(0, 2**31)
few = settings(max_examples=15)
SLACK = 1 + 1e-6
"""A Gram matrix has a jitter of 1e-10, so that least squares is exact to some share of the error."""


def problem(seed, out=4, a=5, b=3, rows=400):
    """A weight (out, a, b), and a second moment of correlated inputs."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, a, b, generator=generator, dtype=torch.float64)
    mixing = torch.randn(a * b, a * b, generator=generator, dtype=torch.float64)
    x = torch.randn(rows, a * b, generator=generator, dtype=torch.float64) @ mixing
    return weight, x.T @ x / rows, x


def lost(weight, second, first, last):
    change = weight - torch.einsum("orb,ra->oab", last, first)
    return float(output_error(change.flatten(1), second))


def test_the_error_of_an_output_by_hand():
    change, second = tensor([[1.0, 0.0], [1.0, -1.0]]), tensor([[4.0, 1.0], [1.0, 9.0]])
    assert float(output_error(change, second)) == 4 + (4 - 2 + 9)


@few
@given(seed=seeds)
def test_the_error_of_an_output_is_that_of_samples(seed):
    weight, second, x = problem(seed)
    assert_close(output_error(weight.flatten(1), second), (x @ weight.flatten(1).T).square().sum(1).mean())


def test_rows_have_length_one_and_none_is_empty():
    rows = unit_rows(tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))
    assert_close(rows, tensor([[0.6, 0.8], [0.5**0.5, 0.5**0.5], [0.0, -1.0]]))


@pytest.mark.parametrize(
    "matrix",
    [
        *(torch.zeros(3, 3), torch.ones(3, 3), torch.diag(tensor([1.0, 2.0, 0.0]))),
        torch.diag(tensor([1.0, 1.0, -1e-7])),  # as a sum in single precision may leave it
    ],
    ids=["zero", "rank one", "dead input", "not definite"],
)
def test_a_singular_matrix_has_a_factor(matrix):
    factor = cholesky(matrix.double())
    assert_close(factor @ factor.T, matrix.double(), atol=3e-6, rtol=0)
    assert_close(factor, factor.tril())


def test_a_definite_matrix_gets_no_more_than_the_jitter():
    factor = cholesky(torch.eye(3).double())
    assert_close(factor @ factor.T, (1 + JITTER) * torch.eye(3).double(), atol=1e-15, rtol=0)


def test_the_leading_directions_by_hand():
    rows = tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]]) * tensor([[1.0], [10.0], [1.0]])
    assert_close(leading(rows, 1).abs().round(decimals=1), tensor([[0.0], [1.0], [0.0]]))
    basis = leading(rows, 3)
    assert_close(basis.T @ basis, torch.eye(3))


@few
@given(seed=seeds, rank=st.integers(1, 4))
def test_for_one_b_it_is_the_best_there_is(seed, rank):
    """The singular values of the weight times a root of A are what is lost at least (Eckart and Young)."""
    weight, second, _ = problem(seed, b=1)
    values = torch.linalg.svdvals(weight[:, :, 0] @ torch.linalg.cholesky(second))
    first, last = alternated(weight, second, rank, sweeps=0)
    assert_close(lost(weight, second, first, last), float(values[rank:].square().sum()), atol=1e-7, rtol=1e-6)


@few
@given(seed=seeds, rank=st.integers(1, 5))
def test_it_is_the_best_there_is_if_the_moment_is_a_product(seed, rank):
    of_a = problem(seed, b=1)[1]
    weight, of_b = problem(seed)[0], problem(seed, a=3, b=1)[1]
    second = torch.kron(of_a, of_b)
    whitened = torch.einsum("oab,ac,bd->cod", weight, torch.linalg.cholesky(of_a), torch.linalg.cholesky(of_b))
    values = torch.linalg.svdvals(whitened.flatten(1))
    first = first_basis(weight, second)[:rank]
    last = best_second(weight, second, first)
    assert_close(lost(weight, second, first, last), float(values[rank:].square().sum()), atol=1e-7, rtol=1e-6)


@few
@given(seed=seeds)
def test_what_each_row_explains_is_what_least_squares_leaves_out(seed):
    weight, second, _ = problem(seed)
    first = first_basis(weight, second)
    found, _ = explained(weight, second, first)
    total = float(output_error(weight.flatten(1), second))
    for rank in range(1, len(first) + 1):
        last = best_second(weight, second, first[:rank])
        left = total - float(found[:, : rank * 3].square().sum())
        assert_close(lost(weight, second, first[:rank], last), left, atol=1e-7 * total, rtol=1e-6)


@few
@given(seed=seeds, rank=st.integers(1, 4))
def test_no_other_second_factor_is_better(seed, rank):
    weight, second, _ = problem(seed)
    first = first_basis(weight, second)[:rank]
    last = best_second(weight, second, first)
    best = lost(weight, second, first, last)
    for step in (1e-2, -1e-2):
        assert lost(weight, second, first, last + step * torch.randn_like(last)) * SLACK >= best


@few
@given(seed=seeds, out_rank=st.integers(1, 3))
def test_a_second_factor_of_few_outputs_is_the_best_of_its_rank(seed, out_rank):
    """Reduced-rank regression: better than the unrestricted solution cut to that rank."""
    weight, second, _ = problem(seed)
    first = first_basis(weight, second)[:3]
    last = best_second(weight, second, first, out_rank)
    assert torch.linalg.matrix_rank(last.flatten(1), rtol=1e-9) == out_rank
    whole = best_second(weight, second, first)
    left = leading(whole.flatten(1), out_rank)
    cut = (left @ (left.T @ whole.flatten(1))).unflatten(1, whole.shape[1:])
    assert lost(weight, second, first, last) <= lost(weight, second, first, cut) * SLACK


@few
@given(seed=seeds, rank=st.integers(1, 4))
def test_a_better_first_factor_is_better(seed, rank):
    weight, second, _ = problem(seed)
    first = torch.randn(rank, 5, dtype=torch.float64)
    last = best_second(weight, second, first)
    better = better_first(weight, second, first, last)
    assert lost(weight, second, better, last) < lost(weight, second, first, last)


def test_a_first_factor_is_that_of_least_squares():
    """Of rank 1 the normal equations are a small system: enough steps solve it."""
    weight, second, _ = problem(1)
    first, last = torch.randn(1, 5).double(), torch.randn(4, 1, 3).double()
    for _ in range(20):
        first = better_first(weight, second, first, last)
    spread = torch.einsum("orb,ac->oabc", last, torch.eye(5).double()).reshape(4, 15, 5)
    left = torch.einsum("onc,nm,omd->cd", spread, second, spread)
    right = torch.einsum("onc,nm,om->c", spread, second, weight.flatten(1))
    assert_close(first[0], torch.linalg.solve(left, right))


@few
@given(seed=seeds, rank=st.integers(1, 5), out_rank=st.sampled_from([None, 2]))
def test_no_sweep_makes_it_worse(seed, rank, out_rank):
    weight, second, _ = problem(seed)
    found = [
        lost(weight, second, *alternated(weight, second, rank, out_rank=out_rank, sweeps=sweeps)) for sweeps in range(4)
    ]
    for before, after in pairwise(found):
        assert after <= before * SLACK + 1e-8


def test_sweeps_help_where_the_moment_is_no_product():
    shares = []
    for seed in range(10):
        weight, second, _ = problem(seed)
        none, three = (lost(weight, second, *alternated(weight, second, 2, sweeps=sweeps)) for sweeps in (0, 3))
        shares.append(three / none)
    assert sum(shares) / len(shares) < 0.95


def test_inputs_that_are_always_zero_do_no_harm():
    weight, second, _ = problem(5)
    second[:6], second[:, :6] = 0, 0
    first, last = alternated(weight, second, 3, sweeps=2)
    assert lost(weight, second, first, last) < float(output_error(weight.flatten(1), second))
