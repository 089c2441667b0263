"""Constant channels: what they add, the function kept exactly, what padding forbids."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.ptq.constant_channels import constant_outputs, contribution


def test_contribution_by_hand():
    weight = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [5.0, 5.0]]])  # (2 outputs, 2 inputs, 2)
    constants = torch.tensor([0.0, 0.5])[None, :, None]
    assert contribution(weight, constants).tolist() == [3.5, 5.0]


def test_only_weights_that_vanish_in_float32_count_as_constant():
    weight = torch.tensor([[1.0, -0.5], [0.0, 0.0], [1e-9, 0.0], [1e-6, 0.0]])
    assert constant_outputs(weight).tolist() == [False, True, True, False]


def collapsed(*, bias, padding):
    """A layer with one constant channel whose reader's filter for it is huge."""
    module = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 3, padding=padding, groups=3), nn.ReLU(), nn.Conv2d(3, 2, 1)
    ).double()
    with torch.no_grad():
        module[0].weight[1] = 0
        module[0].bias[1] = bias
        module[2].weight[1] = 70.0
    return module, torch.randn(2, 2, 6, 6).double()


@pytest.mark.parametrize(("bias", "padding"), [(-0.5, 1), (0.25, 0), (9.0, 0)], ids=["zero", "positive", "capped"])
def test_the_function_stays_and_the_huge_filter_goes(bias, padding):
    module, x = collapsed(bias=bias, padding=padding)
    network = mj.capture(module, x)
    before = network(x)
    record = mj.fold_constant_channels(network)
    assert record.channels["2"] == 1
    assert_close(network(x), before)
    assert network.layer("2").stored_weight.abs().max() < 1


def test_a_channel_made_constant_is_followed_to_the_next_layer():
    module, x = collapsed(bias=0.25, padding=0)
    network = mj.capture(module, x)
    before = network(x)
    assert mj.fold_constant_channels(network).channels == {"2": 1, "4": 1}
    assert not network.layer("4").stored_weight[:, 1].any()
    assert_close(network(x), before)


def test_a_positive_constant_that_meets_padding_stays_and_is_named():
    module, x = collapsed(bias=0.25, padding=1)
    network = mj.capture(module, x)
    before = network(x)
    record = mj.fold_constant_channels(network)
    assert "2" not in record.channels
    assert any("meet zero padding" in skipped.reason for skipped in record.skipped)
    assert_close(network(x), before)


def test_what_batch_norms_said_of_a_constant_channel_is_replaced_by_what_is_certain():
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1)).eval()
    with torch.no_grad():
        module[0].weight[1] = 0
        module[1].bias.copy_(torch.tensor([0.0, 0.75, 0.0]))
    network = mj.capture(module, torch.randn(2, 2, 4, 4))
    mj.fold_batch_norms(network)
    mj.fold_constant_channels(network)
    known = network.preactivations["0"]
    assert known.std[1] == 0
    assert_close(known.mean[1], network.layer("0").bias[1].detach())


def test_a_network_without_constants_is_left_alone():
    network = mj.capture(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(2, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert mj.fold_constant_channels(network).channels == {}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
