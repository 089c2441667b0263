"""Balanced rounding: sums of errors by hand and by law; grids kept."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.ptq.balanced_rounding import balance, balanced

WIDE = {"low": -(10**6), "high": 10**6}


def test_by_hand():
    exact = torch.tensor([[[0.4, 0.4, 0.45, 0.1]]])  # rounds to 0 0 0 0: errors sum to -1.35
    assert balanced(exact, **WIDE).tolist() == [[[0, 0, 1, 0]]]


def test_the_weights_nearest_to_a_half_move():
    errors = torch.tensor([[0.1, 0.45, 0.3, 0.4], [-0.2, -0.1, 0.1, 0.0]])  # sums 1.25, -0.2
    assert balance(errors).tolist() == [[0, -1, 0, 0], [0, 0, 0, 0]]


@given(out=st.integers(1, 4), ins=st.integers(1, 5), size=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_every_channels_errors_sum_to_at_most_half_a_step_and_every_kernels_to_one(out, ins, size, seed):
    exact = 50 * torch.randn(out, ins, size, generator=torch.Generator().manual_seed(seed)).double()
    integers = balanced(exact, **WIDE)
    errors = integers - exact
    assert_close(integers, integers.round())
    assert errors.sum((1, 2)).abs().max() <= 0.5 + 1e-9
    assert errors.sum(2).abs().max() <= 1 + 1e-9
    assert errors.abs().max() <= 1 + 1e-9


@given(out=st.integers(1, 4), size=st.integers(2, 9), seed=st.integers(0, 2**31))
def test_every_kernel_of_a_depthwise_layer_sums_to_at_most_half_a_step(out, size, seed):
    exact = 50 * torch.randn(out, 1, size, generator=torch.Generator().manual_seed(seed)).double()
    assert (balanced(exact, **WIDE) - exact).sum(2).abs().max() <= 0.5 + 1e-9


def test_a_channel_is_balanced_by_one_weight_in_the_kernel_that_is_furthest_off():
    """Kernels are off by -0.4, -0.35 and -0.1: together by -0.85, so the first one's furthest weight moves up."""
    exact = torch.tensor([[[0.3, 0.1], [0.05, 0.3], [0.1, 0.0]]])
    assert balanced(exact, **WIDE).tolist() == [[[1, 0], [0, 0], [0, 0]]]
    assert balanced(-exact, **WIDE).tolist() == [[[-1, 0], [0, 0], [0, 0]]]


def test_nothing_leaves_the_grid():
    exact = torch.full((2, 3, 4), 7.4)
    assert balanced(exact, low=-8, high=7).max() == 7


def test_a_network_stands_for_these_integers_from_then_on():
    torch.manual_seed(0)
    network = mj.capture(nn.Sequential(nn.Conv2d(4, 6, 3)), torch.randn(2, 4, 8, 8))
    mj.quantize(network, target="per-tensor", weights=4)
    nearest = network.layers[0].weight.detach().clone()
    record = mj.balance_rounding(network)
    (layer,) = network.layers
    assert 0 < record.moved[layer.path] < 0.5
    scale = layer.quantizer.scale
    errors = (layer.weight - layer.stored_weight).detach() / scale
    worse = (nearest - layer.stored_weight).detach() / scale
    assert errors.flatten(1).sum(1).abs().max() <= 0.5 + 1e-4
    assert worse.flatten(1).sum(1).abs().max() > 0.5
    integers = layer.quantizer.integers
    assert integers.min() >= -8
    assert integers.max() <= 7


def test_a_layer_without_quantizer_is_named():
    network = mj.capture(nn.Linear(3, 3), torch.randn(2, 3))
    record = mj.balance_rounding(network)
    assert [skipped.reason for skipped in record.skipped] == ["its weights are not quantized"]


def test_what_the_grids_end_cuts_off_is_not_made_up_for_by_others():
    exact = torch.tensor([[[30.0, 0.2, 0.1]]])
    assert balanced(exact, low=-8, high=7).tolist() == [[[7, 0, 0]]]
