import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import DataError
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.grid import IntGrid, Scheme

X = torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]])


def test_a_tensor_is_one_row_or_a_row_for_each_channel_or_block():
    grid = IntGrid(8)
    assert Distribution.of(X, Scheme(grid)).values.tolist() == [[1.0, -2.0, 3.0, 4.0, -5.0, 6.0]]
    assert Distribution.of(X, Scheme(grid, axis=0)).values.tolist() == X.tolist()
    assert Distribution.of(X, Scheme(grid, axis=-1)).values.tolist() == X.T.tolist()
    assert Distribution.of(X, Scheme(grid, axis=0, block=3)).values.tolist() == [[1.0, -2.0, 3.0, 4.0, -5.0, 6.0]]


def test_a_block_that_is_not_full_has_its_own_values_only():
    distribution = Distribution.of(X.abs(), Scheme(IntGrid(8), axis=0, block=2))
    assert distribution.counts.tolist() == [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    assert distribution.low.tolist() == [1.0, 5.0]
    assert distribution.high.tolist() == [4.0, 6.0]


@given(channels=st.integers(1, 9), block=st.integers(1, 10))
def test_there_is_a_row_for_each_scale_and_each_value_counts_once(channels, block):
    distribution = Distribution.of(torch.ones(channels, 2, 3), Scheme(IntGrid(8), axis=0, block=block))
    assert len(distribution.values) == math.ceil(channels / block)
    assert distribution.counts.sum() == channels * 6


def test_a_value_that_does_not_occur_is_no_end():
    distribution = Distribution(torch.tensor([[-9.0, 1.0, 2.0, 9.0]]), torch.tensor([[0.0, 1.0, 5.0, 0.0]]))
    assert (distribution.low.tolist(), distribution.high.tolist()) == ([1.0], [2.0])


def test_exact_bounds_are_believed():
    bounds = torch.tensor([0.25]), torch.tensor([1.75])
    distribution = Distribution(torch.tensor([[0.5, 1.5]]), torch.ones(1, 2), bounds, torch.ones(1))
    assert (distribution.low.tolist(), distribution.high.tolist()) == ([0.25], [1.75])


@pytest.mark.parametrize("rows", [slice(1, 2), torch.tensor([False, True])])
def test_rows_are_taken_with_all_that_belongs_to_them(rows):
    bounds = torch.tensor([0.0, 1.0]), torch.tensor([7.0, 8.0])
    whole = Distribution(X[:2], torch.ones(2, 2), bounds, torch.tensor([0.5, 0.25]))
    part = whole.take(rows)
    assert (part.values.tolist(), part.counts.tolist()) == ([[3.0, 4.0]], [[1.0, 1.0]])
    assert (part.low.tolist(), part.high.tolist(), part.width.tolist()) == ([1.0], [8.0], [0.25])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(DataError, match="holds NaN or infinity"):
        Distribution.of(torch.tensor([1.0, bad]), Scheme(IntGrid(8)))


@pytest.mark.parametrize("counts", [[[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [2.0, -1.0]]])
def test_a_row_without_values_and_negative_counts_are_refused(counts):
    with pytest.raises(DataError, match="a row without a value, or negative counts"):
        Distribution(X[:2], torch.tensor(counts))


def test_an_empty_tensor_is_refused():
    with pytest.raises(DataError, match="a row without a value"):
        Distribution.of(torch.empty(0), Scheme(IntGrid(8)))


@pytest.mark.parametrize("shape", [(2, 3), (4,)])
def test_shapes_that_differ_are_refused(shape):
    with pytest.raises(DataError, match=r"values have shape \(2, 2\) and counts"):
        Distribution(X[:2], torch.ones(shape))
