"""Constant channels: what they add, the function kept exactly, what padding forbids."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.ptq.constant_channels import constant_outputs, contribution
from tests.capture.models import Function
from tests.quantization.networks import conv, network_of, outputs


def test_contribution_by_hand():
    weight = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [5.0, 5.0]]])  # (2 outputs, 2 inputs, 2)
    constants = torch.tensor([0.0, 0.5])[None, :, None]
    assert contribution(weight, constants).tolist() == [3.5, 5.0]


def test_only_weights_that_vanish_in_float32_count_as_constant():
    weight = torch.tensor([[1.0, -0.5], [0.0, 0.0], [1e-9, 0.0], [1e-6, 0.0]])
    assert constant_outputs(weight).tolist() == [False, True, True, False]


def collapsed(*, bias, padding):
    """A layer with one constant channel whose reader's filter for it is huge; in float64, and an input."""
    module = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 3, padding=padding, groups=3), nn.ReLU(), nn.Conv2d(3, 2, 1)
    )
    with torch.no_grad():
        module[0].weight[1] = 0
        module[0].bias[1] = bias
        module[2].weight[1] = 70.0
    x = torch.randn(2, 2, 6, 6)
    return mj.capture(module, x).to(torch.float64), x.double()


@pytest.mark.parametrize(("bias", "padding"), [(-0.5, 1), (0.25, 0), (9.0, 0)], ids=["zero", "positive", "capped"])
def test_the_function_stays_and_the_huge_filter_goes(bias, padding):
    network, x = collapsed(bias=bias, padding=padding)
    before = network(x)
    record = mj.fold_constant_channels(network)
    assert record.channels["2"] == 1
    assert_close(network(x), before)
    assert network.layer("2").stored_weight.abs().max() < 1


def test_a_channel_made_constant_is_followed_to_the_next_layer():
    network, x = collapsed(bias=0.25, padding=0)
    before = network(x)
    assert mj.fold_constant_channels(network).channels == {"2": 1, "4": 1}
    assert not network.layer("4").stored_weight[:, 1].any()
    assert_close(network(x), before)


def test_a_positive_constant_that_meets_padding_stays_and_is_named():
    network, x = collapsed(bias=0.25, padding=1)
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


# In float64, wherever channels may go ---------------------------------------------------------------------------------


def inert(layer, *, bias=0.7):
    """The layer with output channels 1 and 2 that do not depend on its input."""
    with torch.no_grad():
        weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.modules.conv._ConvTransposeNd) else layer.weight
        weight[1:3] = 0
        layer.bias[1:3] = bias
    return layer


def chain(*between, bias=0.7, **settings):
    return nn.Sequential(inert(conv(), bias=bias), *between, conv(**settings))


def read(network, path, channel):
    """The weights that read a channel."""
    layer = network.layer(path)
    return layer.by_output(layer.stored_weight.detach())[:, channel]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (chain(nn.Hardtanh(-0.5, 0.5)), (4, 7, 7)),
        (chain(), (4, 7, 7)),
        (chain(nn.Dropout(), nn.MaxPool2d(3, padding=1)), (4, 12, 12)),
        (chain(nn.Upsample(scale_factor=2)), (4, 7, 7)),
        (chain(groups=2), (4, 7, 7)),
        (chain(bias=-0.5), (4, 7, 7)),
        (chain(nn.ReLU(), nn.ZeroPad2d(1), bias=-0.5, padding=1), (4, 7, 7)),
        (nn.Sequential(inert(conv()), nn.ConvTranspose2d(4, 5, 1)), (4, 7, 7)),
        (nn.Sequential(inert(nn.ConvTranspose2d(3, 4, 2)), nn.ReLU(), conv()), (3, 5, 5)),
        (nn.Sequential(inert(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 5)), (4,)),
        (nn.Sequential(inert(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 5)), (3, 4)),
        (nn.Sequential(inert(nn.Conv1d(4, 6, 3)), nn.ReLU(), nn.Conv1d(6, 5, 3)), (4, 9)),
    ],
    ids=str,
)
def test_the_function_stays_and_nobody_reads_the_channels(module, shape):
    network, x = network_of(module, *shape)
    before, reader = outputs(network, x), network.layers[-1]
    assert mj.fold_constant_channels(network).channels == {reader.path: 2}
    assert_close(outputs(network, x), before)
    if reader.groups == 1:
        assert not read(network, reader.path, [1, 2]).any()
        assert read(network, reader.path, 0).all()
    once = outputs(network, x)
    mj.fold_constant_channels(network)
    assert torch.equal(outputs(network, x), once)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (chain(kernel=1, padding=1), (4, 7, 7)),
        (chain(nn.ZeroPad2d(1)), (4, 7, 7)),
        (chain(nn.ReLU(), nn.ZeroPad2d((0, 0, 1, 0)), nn.MaxPool2d(2)), (4, 9, 9)),
        (chain(nn.ReLU(), nn.ConstantPad2d(1, 5.0)), (4, 7, 7)),
        (chain(nn.ReLU(), nn.ConstantPad2d(1, 5.0), bias=-1.0), (4, 7, 7)),
        (chain(nn.AvgPool2d(2)), (4, 9, 9)),
        (nn.Sequential(inert(conv()), nn.ConvTranspose2d(4, 5, 1, stride=2)), (4, 7, 7)),
        (nn.Sequential(inert(conv()), nn.ConvTranspose2d(4, 5, 3)), (4, 7, 7)),
        (Function(lambda m, x: m.b(F.pad(m.a(x), (0, 0, 0, 0, 1, -1))), a=inert(conv()), b=conv()), (4, 7, 7)),
        (nn.Sequential(inert(nn.Conv1d(4, 4, 1)), nn.Linear(4, 3)), (4, 4)),
        (nn.Sequential(inert(nn.Linear(4, 4)), nn.Conv1d(4, 3, 2)), (4, 4)),
        (nn.Sequential(inert(nn.Linear(4, 4)), nn.MaxPool1d(3, 1, 1), nn.Linear(4, 3)), (3, 4)),
        (Function(lambda m, x: m.b(m.b(m.a(x))), a=inert(conv()), b=conv()), (4, 9, 9)),
        (Function(lambda m, x: m.b(m.a(x) + x), a=inert(conv(padding=1)), b=conv()), (4, 9, 9)),
    ],
    ids=str,
)
def test_where_a_constant_does_not_arrive_everywhere_nothing_changes(module, shape):
    network, x = network_of(module, *shape)
    before = outputs(network, x)
    assert mj.fold_constant_channels(network).channels == {}
    assert torch.equal(outputs(network, x), before)


def test_a_layer_that_gets_its_first_bias_from_constants_hands_it_on():
    """The second layer's channel 0 reads constants alone: it is one in turn, though the layer had no bias."""
    second = conv(bias=False)
    with torch.no_grad():
        second.weight[0][[0, 3]] = 0
    network, x = network_of(nn.Sequential(inert(conv()), nn.ReLU(), second, conv()), 4, 9, 9)
    before = outputs(network, x)
    assert mj.fold_constant_channels(network).channels == {"2": 2, "3": 1}
    assert_close(outputs(network, x), before)
