from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from microjoule.numerics.least_squares import (
    RunningMoments,
    best_bias,
    chance,
    damped,
    moments,
    refit,
    squared_error,
    trusted,
)

INPUTS = tensor([[[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]])
OUTPUTS = tensor([[[1.0], [3.0], [8.0]]])


def example(seed, groups=2, rows=40, ins=5, outs=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, rows, ins, generator=generator, dtype=torch.float64) + 1
    y = torch.randn(groups, rows, outs, generator=generator, dtype=torch.float64)
    w = torch.randn(groups, outs, ins, generator=generator, dtype=torch.float64)
    return x, y, w


def test_what_three_rows_tell_of_two_inputs_by_hand():
    known = moments(INPUTS, OUTPUTS)
    assert (known.rows, known.scarcity) == (3, 2 / 3)
    assert_close(chance(known), tensor([8 / 9]).double())
    assert_close(trusted(known), tensor([[[8.0, 6.0 / 9], [6.0 / 9, 6.0]]]).double() / 3)


def of_rows(x):
    return moments(x, x[:, :, :1])


def test_what_is_chance_does_not_depend_on_units_and_dead_inputs_do_not_count():
    x = example(5, rows=9)[0]
    x = x + 2 * x[:, :, :1]
    dead = torch.cat([x, torch.full((2, 9, 3), 7.0)], 2)
    wanted = chance(of_rows(x))
    assert ((wanted > 0) & (wanted < 1)).all()
    assert_close(chance(of_rows(x * torch.logspace(-1, 1, 5))), wanted)
    assert_close(chance(of_rows(dead)), wanted)
    assert_close(chance(of_rows(torch.ones(1, 4, 3))), tensor([1.0]).double())
    assert_close(chance(of_rows(x[:, :, :1])), torch.ones(2).double())


def test_groups_are_believed_each_by_itself():
    x, _, _ = example(6, rows=9)
    x[1] = x[1, :, :1] + 0.01 * x[1]
    both = chance(of_rows(x))
    assert_close(both, torch.cat([chance(of_rows(one[None])) for one in x]))
    assert both[1] < 0.3 < both[0]


@pytest.mark.parametrize(("rows", "least", "most"), [(10, 0.0, 0.8), (60, 0.8, 0.98), (1000, 0.98, 1.02)])
def test_what_is_trusted_of_few_rows_is_nearer_to_the_truth(rows, least, most):
    mixing = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixing = mixing / torch.arange(1, 31)[:, None] ** 0.5
    normal, away, shrunk = torch.Generator().manual_seed(1), 0.0, 0.0
    for _ in range(20):
        known = of_rows(torch.randn(1, rows, 30, generator=normal, dtype=torch.float64) @ mixing)
        away += float((known.second[0] - mixing.T @ mixing).square().sum())
        shrunk += float((trusted(known)[0] - mixing.T @ mixing).square().sum())
    assert least < shrunk / away < most


def test_moments_by_hand():
    known = moments(INPUTS, OUTPUTS)
    assert_close(known.input_mean, tensor([[2.0, 2.0]]).double())
    assert_close(known.output_mean, tensor([[4.0]]).double())
    assert_close(known.second, tensor([[[8.0, 6.0], [6.0, 6.0]]]).double() / 3)
    assert_close(known.cross, tensor([[[14.0, 12.0]]]).double() / 3)  # -3 -2, -1 0, 4 2: 6+0+8; 3+1+8
    assert_close(known.output_variance, tensor([[26.0]]).double() / 3)


@given(seed=st.integers(0, 2**31))
def test_the_error_is_that_of_the_samples(seed):
    x, y, w = example(seed)
    known = moments(x, y)
    left = y - x @ w.transpose(1, 2) - best_bias(w, known)[:, None]
    assert_close(squared_error(w, known), left.square().mean(1))
    assert_close(left.mean(1), torch.zeros(2, 3).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("at_once", [1, 2 * 5 * 7, 2**20])
def test_moments_are_the_same_however_samples_come(at_once, monkeypatch):
    x, y, _ = example(3)
    x, whole, sums = x + 100, moments(x + 100, y), RunningMoments()
    monkeypatch.setattr("microjoule.numerics.least_squares.AT_ONCE", at_once)
    for piece in (slice(0, 3), slice(3, 30), slice(30, 40)):
        sums.update(x[:, piece], y[:, piece])
    for field in fields(whole):
        assert_close(getattr(sums.moments(), field.name), getattr(whole, field.name))


def test_a_large_mean_costs_no_accuracy():
    x, y, _ = example(4)
    far = moments((x + 1000).float(), y.float())
    assert_close(far.second, moments((x + 1000).float().double(), y).second, atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 2**31))
def test_a_refit_has_the_least_error_and_a_ridge_holds_it_back(seed):
    x, y, w = example(seed)
    known = moments(x, y)
    best = refit(w, known, ridge=1e-12)
    solution = torch.linalg.lstsq(x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)).solution.transpose(1, 2)
    assert_close(best, solution, rtol=1e-6, atol=1e-6)
    held = refit(w, known, ridge=1.0)
    assert (squared_error(best, known) <= squared_error(held, known)).all()
    assert (squared_error(held, known) <= squared_error(w, known)).all()
    assert_close(refit(w, known, ridge=1e12), w, rtol=1e-6, atol=1e-6)


def test_the_ridge_by_hand():
    """One input with mean square 4, B = 6, w = 1: (6 + 0.5 * 4 * 1) / (4 + 0.5 * 4) = 8 / 6."""
    known = moments(tensor([[[-2.0], [2.0]]]), tensor([[[-3.0], [3.0]]]))
    assert_close(refit(tensor([[[1.0]]]), known, ridge=0.5), tensor([[[8 / 6]]]).double())


def test_damping_does_not_depend_on_the_scale_of_an_input():
    second = tensor([[[4.0, 1.0], [1.0, 1.0]]]).double()
    scale = tensor([10.0, 0.1]).double()
    scaled = second * scale[:, None] * scale
    assert_close(damped(scaled, 0.1), damped(second, 0.1) * scale[:, None] * scale)
    assert_close(damped(second, 0.1), tensor([[[4.4, 1.0], [1.0, 1.1]]]).double())


def test_an_input_that_never_changes_leaves_the_matrix_regular():
    second = torch.diag(tensor([3.0, 0.0, 0.0])).double()[None]
    assert (torch.linalg.eigvalsh(damped(second, 0.01)) > 0).all()
    assert (torch.linalg.eigvalsh(damped(torch.zeros(1, 3, 3).double(), 0.01)) > 0).all()


def test_a_bias_adds_the_square_of_what_it_is_off():
    x, y = torch.randn(2, 50, 3).double(), torch.randn(2, 50, 4).double()
    known, weight = moments(x, y), torch.randn(2, 4, 3).double()
    off = torch.randn(2, 4).double()
    bias = best_bias(weight, known) + off
    made = x @ weight.transpose(1, 2) + bias[:, None]
    assert_close(squared_error(weight, known, bias), (made - y).square().mean(1))
    assert_close(squared_error(weight, known, bias.flatten()), squared_error(weight, known) + off.square())
