"""GPTQ: by hand, against brute force, and never worse than rounding to nearest."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.execution.run import unquantized
from microjoule.quantization.layer_fit import RIDGE
from microjoule.quantization.ptq.gptq import BLOCK, compensated, descended


def bounds(like, low=-8.0, high=7.0):
    return {"low": torch.full_like(like, low), "high": torch.full_like(like, high)}


def loss(integers, wanted, second):
    off = (integers - wanted).double()
    return ((off @ second.double()) * off).sum(2)


def random_problem(seed, groups=2, outputs=3, inputs=6, common=2.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, 50, inputs, generator=generator)
    x = x + common * torch.randn(groups, 50, 1, generator=generator)
    wanted = 3 * torch.randn(groups, outputs, inputs, generator=generator)
    return wanted, x.transpose(1, 2) @ x / 50


def test_the_second_weight_makes_up_for_the_first_by_hand():
    """A = [[2, 1], [1, 1]]: 0.4 rounds to 0, so the second moves by +0.4 * 1 / 1 from 0.3 to 0.7, and rounds to 1."""
    wanted, second = tensor([[[0.4, 0.3]]]), tensor([[[2.0, 1.0], [1.0, 1.0]]])
    assert compensated(wanted, second, **bounds(wanted)).tolist() == [[[0.0, 1.0]]]


def test_uncorrelated_inputs_are_rounded_to_nearest():
    wanted = tensor([[[0.4, -1.7, 9.2]]])
    assert compensated(wanted, torch.eye(3)[None], **bounds(wanted)).tolist() == [[[0.0, -2.0, 7.0]]]


def test_descent_by_hand():
    """From (0, 0) with both wanted at 0.4 and inputs that are the same, one weight of 1 is nearest to the sum."""
    wanted, second = tensor([[[0.4, 0.4]]]), tensor([[[1.0, 0.9], [0.9, 1.0]]])
    found = descended(torch.zeros(1, 1, 2), wanted, second, sweeps=9, **bounds(wanted))
    assert found.tolist() == [[[1.0, 0.0]]]


@given(seed=st.integers(0, 2**31))
def test_descent_never_adds_to_the_error_and_ends_where_no_single_move_helps(seed):
    wanted, second = random_problem(seed)
    start = wanted.round().clamp(-8, 7)
    found = descended(start, wanted, second, sweeps=50, **bounds(wanted))
    least = loss(found, wanted, second)
    assert (least <= loss(start, wanted, second) + 1e-4).all()
    for j, move in itertools.product(range(wanted.shape[2]), (-1, 1)):
        other = found.clone()
        other[:, :, j] = (other[:, :, j] + move).clamp(-8, 7)
        assert (loss(other, wanted, second) >= least - 1e-3).all()


@pytest.mark.parametrize("seed", range(5))
def test_together_they_come_near_the_best_of_all_integers(seed):
    wanted, second = random_problem(seed, groups=1, outputs=1, inputs=5)
    every = [loss(wanted.floor() + tensor(up), wanted, second).item() for up in itertools.product((0.0, 1.0), repeat=5)]
    start = compensated(wanted, second, **bounds(wanted))
    found = descended(start, wanted, second, sweeps=50, **bounds(wanted))
    nearest = loss(wanted.round().clamp(-8, 7), wanted, second).item()
    assert loss(found, wanted, second).item() <= min(nearest, 1.5 * min(every))


def test_blocks_change_nothing(monkeypatch):
    wanted, second = random_problem(0, inputs=BLOCK + 7)
    second = second + 0.1 * torch.eye(BLOCK + 7)
    whole = compensated(wanted, second, **bounds(wanted))
    swept = descended(whole, wanted, second, sweeps=2, **bounds(wanted))
    monkeypatch.setattr("microjoule.quantization.ptq.gptq.BLOCK", 5)
    assert torch.equal(compensated(wanted, second, **bounds(wanted)), whole)
    assert torch.equal(descended(whole, wanted, second, sweeps=2, **bounds(wanted)), swept)


def test_nothing_leaves_the_grid():
    wanted, second = random_problem(1)
    start = compensated(9 * wanted, second, **bounds(wanted))
    found = descended(start, 9 * wanted, second, sweeps=5, **bounds(wanted))
    assert (start.min(), start.max(), found.min(), found.max()) == (-8, 7, -8, 7)


@pytest.fixture(scope="module")
def example():
    torch.manual_seed(0)
    x = torch.rand(32, 3, 8, 8)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)
    )
    network = mj.capture(module, x)
    mj.quantize(network, weights=3)
    mj.calibrate(network, x)
    return network, x


def output_error(network, exact, x):
    return (network(x) - exact).square().mean().item()


def test_a_network_is_nearer_to_floating_point_than_with_nearest_rounding(example):
    network, x = example
    nearest, found = network.copy(), network.copy()
    record = mj.gptq(found, x)
    assert [layer.layer for layer in record.layers] == ["0", "2", "5"]
    assert all(layer.error_after < layer.error_before for layer in record.layers)
    with unquantized(network):
        exact = network(x)
    assert output_error(found, exact, x) < 0.5 * output_error(nearest, exact, x)


def test_without_sweeps_the_descent_is_left_out(example):
    network, x = example
    one, other = network.copy(), network.copy()
    mj.gptq(one, x, sweeps=0)
    mj.gptq(other, x)
    assert not torch.equal(one.layers[2].weight, other.layers[2].weight)


def test_the_ridge_of_the_refit_is_the_callers(example):
    network, x = example
    found = []
    for settings in ({}, {"ridge": RIDGE}, {"ridge": 1e6}):
        copy = network.copy()
        mj.gptq(copy, x, **settings)
        found.append(copy.layers[2].quantizer.integers)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_same_seed_gives_the_same_integers(example):
    network, x = example
    found = []
    for seed in (0, 0, 1):
        copy = network.copy()
        mj.gptq(copy, x, rows=100, seed=seed)
        found.append(copy.layers[0].quantizer.integers)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert_close(found[0].float(), found[2].float(), atol=3, rtol=0)
