"""AdaRound: its equations by hand and by finite differences, its choices against brute force."""

import itertools

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import SettingError
from microjoule.execution.run import unquantized
from microjoule.quantization.ptq.adaround import (
    relax,
    slope_by_moments,
    slope_by_rows,
)


def test_the_slope_by_moments_is_the_derivative_of_the_error_in_units_of_nearest_rounding():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 30, 4, generator=generator).double()
    second = x.transpose(1, 2) @ x / 30
    wanted = torch.randn(2, 3, 4, generator=generator).double()
    w = torch.randn(2, 3, 4, generator=generator).double().requires_grad_()
    usual = x.square().mean((1, 2)) / 12
    loss = ((x @ (w - wanted).transpose(1, 2)).square().mean(1) / usual[:, None]).sum()
    loss.backward()
    assert_close(slope_by_moments(wanted, second)(w.detach(), 0), w.grad)


def test_the_slope_by_rows_is_the_derivative_through_the_clip(monkeypatch):
    monkeypatch.setattr("microjoule.quantization.ptq.adaround.BATCH", 16)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 16, 4, generator=generator), torch.randn(2, 16, 3, generator=generator)
    bias, scale = torch.randn(2, 1, 3, generator=generator), torch.rand(2, 3, 1, generator=generator) + 0.5
    low, high = torch.zeros(2, 1, 3), torch.full((2, 1, 3), 1.5)
    w = torch.randn(2, 3, 4, generator=generator, requires_grad=True)
    at = torch.randint(16, (2**14 // 16, 16), generator=torch.Generator().manual_seed(7))[3]
    made = (x[:, at] @ (w * scale).transpose(1, 2) + bias).clamp(0, 1.5)
    (made - y[:, at].clamp(0, 1.5)).square().mean(1).sum().backward()
    slope = slope_by_rows(x, y, bias, scale, (low, high), seed=7)(w.detach(), 3)
    usual = x.square().mean((1, 2))[:, None, None] / 12
    assert_close(slope * scale.square() * usual, w.grad)


@pytest.mark.parametrize("seed", range(6))
def test_up_or_down_is_chosen_nearly_as_well_as_by_trying_all(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 60, 6, generator=generator) + 2 * torch.randn(1, 60, 1, generator=generator)
    second, wanted = x.transpose(1, 2) @ x / 60, 3 * torch.randn(1, 1, 6, generator=generator)

    def loss(integers):
        off = integers - wanted
        return ((off @ second) * off).sum().item()

    bounds = {"low": torch.full_like(wanted, -100), "high": torch.full_like(wanted, 100)}
    found = relax(wanted, slope_by_moments(wanted, second), iterations=800, weight=10.0, **bounds)
    best = min(loss(wanted.floor() + tensor(up)) for up in itertools.product((0.0, 1.0), repeat=6))
    assert ((found == wanted.floor()) | (found == wanted.ceil())).all()
    assert loss(found) <= min(loss(wanted.round()), 2 * best)


def test_it_does_not_matter_how_weights_lie_in_memory():
    """The same numbers as rows and as columns of a matrix: an optimizer that goes by places would mix them up."""
    generator = torch.Generator().manual_seed(5)
    x, wanted = torch.randn(1, 60, 6, generator=generator), 3 * torch.randn(1, 4, 6, generator=generator)
    slope = slope_by_moments(wanted, x.transpose(1, 2) @ x / 60)
    bounds = {"low": torch.full_like(wanted, -8), "high": torch.full_like(wanted, 7)}
    turned = wanted.transpose(1, 2).contiguous().transpose(1, 2)
    found = relax(turned, slope, iterations=300, weight=10.0, **bounds)
    assert torch.equal(found, relax(wanted, slope, iterations=300, weight=10.0, **bounds))


def test_nothing_leaves_the_grid():
    wanted = tensor([[[-9.3, 6.7, 20.0, 7.0]]])
    bounds = {"low": torch.full_like(wanted, -8), "high": torch.full_like(wanted, 7)}
    found = relax(wanted, slope_by_moments(wanted, torch.eye(4)[None]), iterations=20, weight=10.0, **bounds)
    assert found.tolist() == [[[-8.0, 7.0, 7.0, 7.0]]]


@pytest.fixture(scope="module")
def example():
    torch.manual_seed(0)
    x = torch.rand(32, 3, 8, 8)
    module = nn.Sequential(
        *(
            nn.Conv2d(3, 8, 3),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 4, 2, stride=2),
        ),
        *(nn.Flatten(), nn.Linear(256, 5)),
    )
    network = mj.capture(module, x)
    mj.quantize(network, target="xnnpack", weights=8)
    for layer in network.layers:
        layer.quantizer.scheme = mj.target("per-tensor").weight_scheme(4, 0)
        layer.quantizer.set_range(layer.stored_weight.min().detach(), layer.stored_weight.max().detach())
    mj.calibrate(network, x)
    return network, x


@pytest.mark.parametrize("activation", [True, False])
def test_a_network_is_nearer_to_floating_point_than_with_nearest_rounding(example, activation):
    network, x = example
    nearest, found = network.copy(), network.copy()
    record = mj.adaround(found, x, iterations=300, activation=activation)
    assert (record.method, record.samples, len(record.layers)) == ("AdaRound", 32, 4)
    assert all(layer.error_after < layer.error_before for layer in record.layers)
    with unquantized(network):
        exact = network(x)
    lost = [(each(x) - exact).square().mean().item() for each in (found, nearest)]
    assert lost[0] < 0.6 * lost[1]


def test_the_same_seed_gives_the_same_integers(example):
    network, x = example
    found = []
    for seed in (0, 0, 1):
        copy = network.copy()
        mj.adaround(copy, x, iterations=50, rows=100, seed=seed)
        found.append(copy.layers[0].quantizer.integers)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_caller_may_have_an_activation_with_a_bound_a_channel():
    torch.manual_seed(0)
    x = torch.rand(32, 3, 8, 8)
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU6(), nn.Conv2d(6, 4, 1)), x)
    mj.equalize(network)
    mj.quantize(network, target="per-tensor", weights=4)
    mj.calibrate(network, x)
    record = mj.adaround(network, x, iterations=100)
    assert record.layers[0].error_after < record.layers[0].error_before


def test_no_iteration_is_refused(example):
    with pytest.raises(SettingError, match="at least 1"):
        mj.adaround(example[0].copy(), example[1], iterations=0)
