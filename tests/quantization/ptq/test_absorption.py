"""High-bias absorption: c by hand, exact where the values are above it, refusals with reasons."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.ptq.absorption import absorbable
from tests.capture.models import Function
from tests.quantization.networks import conv, network_of, outputs


def test_c_by_hand():
    mean, std = torch.tensor([5.0, 1.0, -2.0]), torch.tensor([1.0, 1.0, 0.5])
    assert absorbable(mean, std).tolist() == [2.0, 0.0, 0.0]
    assert absorbable(mean, std, sigmas=1.0).tolist() == [4.0, 0.0, 0.0]


def network(*between, reader=None):
    """A batch norm with a high bias in channel 0, an activation, and a reader."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *between, reader or nn.Conv2d(4, 2, 1)).eval()
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([0.1, 0.1, 0.1, 0.1]))
        module[1].bias.copy_(torch.tensor([5.0, 0.0, -1.0, 2.0]))
    made = mj.capture(module, torch.rand(2, 3, 5, 5))
    mj.fold_batch_norms(made)
    return made


def test_it_is_exact_where_values_stay_above_what_moves():
    made = network(nn.ReLU())
    x = torch.rand(4, 3, 5, 5)
    before, known = made(x), made.preactivations["0"].mean.clone()
    record = mj.absorb_high_biases(made)
    assert_close(made(x), before, rtol=1e-5, atol=1e-5)
    assert_close(torch.tensor(record.layers["0"]), torch.tensor(4.7))
    assert_close(made.preactivations["0"].mean, known - torch.tensor([4.7, 0.0, 0.0, 1.7]))


def test_a_cap_moves_down_with_the_bias():
    made = network(nn.ReLU6())
    x = 40 * torch.rand(4, 3, 5, 5)
    before = made(x)
    inside = made.module.get_submodule("0")(x) >= 4.7
    mj.absorb_high_biases(made)
    assert inside[:, 0].any()
    above = (made.module.get_submodule("0")(x)[:, 0] >= 0) & (made.module.get_submodule("0")(x)[:, 3] >= 0)
    assert above.any()
    assert_close(made(x).movedim(1, -1)[above], before.movedim(1, -1)[above], rtol=1e-4, atol=1e-4)


def reasons(made):
    return {skipped.place: skipped.reason for skipped in mj.absorb_high_biases(made).skipped}


def test_a_reader_that_pads_is_left_alone():
    made = network(nn.ReLU(), reader=nn.Conv2d(4, 2, 3, padding=1))
    before = {name: value.clone() for name, value in made.state_dict().items()}
    assert "pads with zeros" in reasons(made)["0"]
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_without_a_relu_or_statistics_nothing_moves():
    assert "no single ReLU follows it" in reasons(network(nn.LeakyReLU()))["0"]
    bare = mj.capture(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(2, 3))
    assert "no batch norm says" in reasons(bare)["0"]


# In float64, where it is exact ----------------------------------------------------------------------------------------


def high(layer, norm=nn.BatchNorm2d):
    """A layer and its batch norm: of channels 0 and 3, 37 and 47 may move."""
    norm = norm(4)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([40.0, 1.0, -5.0, 50.0]))
        layer.weight *= 0.05
    return nn.Sequential(layer, norm)


def folded(module, *shape):
    made, x = network_of(module, *shape)
    mj.fold_batch_norms(made)
    return made, x / 8


def two_readers(m, x):
    y = m.first(x).relu()
    return m.left(y) + m.right(y)


def functional(padding):
    kernel = nn.Module()
    kernel.value = nn.Parameter(torch.randn(4, 4, 3, 3))
    return Function(
        lambda m, x: F.conv2d(m.first(x).relu(), m.kernel.value, padding=padding), first=high(conv()), kernel=kernel
    )


@pytest.mark.parametrize(
    ("module", "shape", "cap"),
    [
        (nn.Sequential(high(conv()), nn.ReLU(), conv()), (4, 7, 7), 1e9),
        (nn.Sequential(high(conv()), nn.ReLU(), conv(bias=False)), (4, 7, 7), 1e9),
        (nn.Sequential(high(conv()), nn.ReLU(), conv(groups=4)), (4, 7, 7), 1e9),
        (nn.Sequential(high(conv()), nn.Hardtanh(0, 45.0), conv()), (4, 7, 7), 45.0),
        (nn.Sequential(high(conv()), nn.ReLU6(), conv()), (4, 7, 7), 6.0),
        (nn.Sequential(high(conv()), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)), (4, 5, 5), 1e9),
        (nn.Sequential(high(nn.Linear(4, 4), nn.BatchNorm1d), nn.ReLU6(), nn.Linear(4, 3)), (4,), 6.0),
        (Function(two_readers, first=high(conv()), left=conv(), right=conv()), (4, 7, 7), 1e9),
        (functional(0), (4, 7, 7), 1e9),
    ],
    ids=str,
)
def test_every_reader_gets_what_moved_and_no_more_moves_than_the_cap(module, shape, cap):
    made, x = folded(module, *shape)
    first = made.layers[0]
    before, bias = outputs(made, x), first.bias.detach().clone()
    record = mj.absorb_high_biases(made)
    moved = torch.tensor([37.0, 0.0, 0.0, 47.0]).double().clamp(max=cap)
    assert record.layers == {first.path: pytest.approx(moved.max().item())}
    assert_close(bias - made.layers[0].bias.detach(), moved)
    assert_close(outputs(made, x), before)


def test_what_lies_below_is_what_absorption_gives_up():
    """relu(y - c) + c is c for every y below c: with y = -5, 2, 7 and c = 2, not 0, 2, 7 but 2, 2, 7."""
    module = nn.Sequential(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1, eps=0.0), nn.ReLU(), nn.Conv1d(1, 1, 1))
    with torch.no_grad():
        for layer in (module[0], module[3]):
            layer.weight.fill_(1)
            layer.bias.fill_(0)
        module[1].bias.fill_(5)
    made, _ = folded(module, 1, 3)
    mj.absorb_high_biases(made)
    x = torch.tensor([[[-10.0, -3.0, 2.0]]], dtype=torch.float64)
    assert_close(outputs(made, x), torch.tensor([[[2.0, 2.0, 7.0]]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Sequential(high(conv()), nn.ReLU(), conv(padding="same")), "2 pads with zeros"),
        (nn.Sequential(high(conv()), nn.ReLU(), conv(kernel=1, padding=1)), "2 pads with zeros"),
        (nn.Sequential(high(conv()), nn.ReLU(), nn.ConvTranspose2d(4, 4, 3)), "2 pads with zeros"),
        (functional(1), "kernel.value pads with zeros"),
        (nn.Sequential(high(conv()), nn.ReLU(), nn.MaxPool2d(2), conv()), "max_pool (_2) stands between"),
        (nn.Sequential(high(conv()), nn.ReLU(), nn.ReflectionPad2d(1), conv()), "pad ("),
        (nn.Sequential(high(conv()), conv()), "no single ReLU follows it"),
        (nn.Sequential(high(conv()), nn.ReLU(), nn.ReLU6(), conv()), "no single ReLU follows it"),
        (nn.Sequential(high(conv()), nn.Hardtanh(-1, 50), conv()), "the activation after it is no ReLU"),
        (nn.Sequential(high(conv()), nn.Sigmoid(), conv()), "sigmoid"),
    ],
    ids=str,
)
def test_where_it_is_not_exact_nothing_moves_and_the_reason_is_given(module, reason):
    made, x = folded(module, 4, 8, 8)
    before = outputs(made, x)
    record = mj.absorb_high_biases(made)
    assert record.layers == {}
    assert any(reason in skipped.reason for skipped in record.skipped)
    assert torch.equal(outputs(made, x), before)
