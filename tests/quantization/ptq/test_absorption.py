"""High-bias absorption: c by hand, exact where the values are above it, refusals with reasons."""

import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.quantization.ptq.absorption import absorbable


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
