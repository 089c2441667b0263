"""Rounding by a fixed rule: by hand, within a step, unbiased, repeatable; the grid kept."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import GraphError, SettingError
from microjoule.numerics.affine import along
from microjoule.quantization.ptq.rounding import rounded_by
from microjoule.quantization.simulate import rounded

RULES = ("nearest", "floor", "ceil", "stochastic")


def network_of(target: str = "per-tensor", weights: int = 4) -> mj.Network:
    torch.manual_seed(0)
    modules = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2), nn.Flatten(), nn.Linear(4 * 49, 5))
    network = mj.capture(nn.Sequential(*modules).eval(), torch.randn(2, 3, 8, 8))
    mj.quantize(network, target=target, weights=weights)
    return network


def integers(network: mj.Network) -> list[torch.Tensor]:
    return [layer.quantizer.integers for layer in network.layers]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("nearest", [0, 0, 2, 1, 2, -1, -2, 3]),  # a half goes to the even integer
        ("floor", [0, 0, 1, 1, 2, -2, -3, 3]),
        ("ceil", [1, 1, 2, 2, 3, -1, -2, 3]),
        ("stochastic", [0, 1, 2, 1, 2, -1, -3, 3]),
    ],
)
def test_by_hand(how, expected):
    exact = torch.tensor([0.25, 0.25, 1.75, 1.25, 2.5, -1.25, -2.25, 3.0])
    draws = torch.tensor([0.25, 0.24, 0.5, 0.5, 0.75, 0.5, 0.8, 0.0])
    assert rounded_by(exact, how, draws).tolist() == expected


@pytest.mark.parametrize("how", RULES)
@given(size=st.integers(1, 50), spread=st.floats(0.01, 1e4), seed=st.integers(0, 2**31))
def test_no_integer_is_a_step_away(how, size, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    exact = spread * torch.randn(size, generator=generator, dtype=torch.float64)
    found = rounded_by(exact, how, torch.rand(size, generator=generator, dtype=torch.float64))
    assert torch.equal(found, found.round())
    assert (found - exact).abs().max() < 1


@pytest.mark.parametrize("how", RULES)
def test_what_is_an_integer_already_stays(how):
    exact = torch.tensor([-7.0, 0.0, 65535.0], dtype=torch.float64)
    assert torch.equal(rounded_by(exact, how, torch.full_like(exact, 1 - 2.0**-53)), exact)


def test_by_chance_the_mean_over_draws_is_the_weight():
    """The mean of n draws has a standard deviation of at most 1 / (2 sqrt(n)) steps; five of them are allowed."""
    exact = torch.tensor([0.1, 0.5, 0.9, -0.3, -1.75, 6.02]).double()
    draws = torch.rand(20_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = rounded_by(exact.expand(20_000, 6), "stochastic", draws).mean(0)
    assert_close(mean, exact, rtol=0, atol=5 / (2 * 20_000**0.5))
    assert (rounded_by(exact.expand(20_000, 6), "nearest", draws).mean(0) - exact).abs().max() > 0.1


@pytest.mark.parametrize("target", ["per-tensor", "onnxruntime"])
def test_weights_within_the_grid_are_unbiased(target):
    network = network_of(target)
    layer = network.layers[0]
    weights = []
    for seed in range(400):
        mj.round_weights(network, how="stochastic", seed=seed)
        weights.append(layer.weight.detach())
    affine, exact = layer.quantizer.affine, layer.stored_weight.detach()
    scale, zero_point = (along(value, exact, affine.scheme) for value in (affine.scale, affine.zero_point))
    steps = exact / scale + zero_point
    inside = (affine.grid.qmin <= steps) & (steps <= affine.grid.qmax)
    assert inside.double().mean() > 0.9
    error = (torch.stack(weights).mean(0) - exact) / scale
    assert error[inside].abs().max() <= 5 / (2 * 400**0.5)


def test_to_the_nearest_is_what_simulation_does():
    network = network_of()
    expected = [rounded(layer) for layer in network.layers]
    record = mj.round_weights(network)
    assert all(torch.equal(*pair) for pair in zip(integers(network), expected, strict=True))
    assert set(record.layers.values()) == {0.0}
    assert record.seed is None
    assert network.history[-1] is record


@pytest.mark.parametrize("how", ["floor", "ceil", "stochastic"])
def test_the_share_that_moved_is_told(how):
    network = network_of()
    nearest = [rounded(layer) for layer in network.layers]
    record = mj.round_weights(network, how=how, seed=3)
    shares = [(a != b).double().mean().item() for a, b in zip(integers(network), nearest, strict=True)]
    assert list(record.layers.values()) == pytest.approx(shares)
    assert min(shares) > 0.1


def test_the_same_seed_gives_the_same_integers_whichever_layers_are_chosen():
    one, two, other = network_of(), network_of(), network_of()
    mj.round_weights(one, how="stochastic", seed=5)
    record = mj.round_weights(two, how="stochastic", seed=5, layers=[two.layers[-1].path])
    mj.round_weights(other, how="stochastic", seed=6)
    assert torch.equal(integers(one)[-1], integers(two)[-1])
    assert not torch.equal(integers(one)[-1], integers(other)[-1])
    assert integers(two)[:-1] == [None, None]
    assert [skipped.reason for skipped in record.skipped] == ["not chosen by the caller"] * 2
    assert record.seed == 5


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("target", ["per-tensor", "onnxruntime"])
def test_nothing_leaves_the_grid(how, target):
    network = network_of(target)
    mj.clip_weights(network)  # so that some weights are beyond the grid's ends
    mj.round_weights(network, how=how)
    for layer in (layer for layer in network.layers if layer.quantizer is not None):
        grid = layer.quantizer.scheme.grid
        assert grid.qmin <= layer.quantizer.integers.min()
        assert layer.quantizer.integers.max() <= grid.qmax
        assert layer.weight.unique().numel() <= 2**grid.bits * layer.quantizer.scale.numel()


def test_a_layer_without_quantizer_is_named():
    network = mj.capture(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), torch.randn(2, 3))
    mj.quantize(network, layers={"0": None})
    record = mj.round_weights(network)
    assert [(skipped.place, skipped.reason) for skipped in record.skipped] == [("0", "its weights are not quantized")]
    assert list(record.layers) == ["1"]


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(GraphError, match="has no quantized weight"):
        mj.round_weights(mj.capture(nn.Linear(3, 3), torch.randn(2, 3)))


def test_another_rule_is_refused():
    with pytest.raises(SettingError, match="how: is 'up'\n  choose one of nearest, floor, ceil, stochastic"):
        mj.round_weights(network_of(), how="up")


def test_an_unknown_layer_is_refused():
    with pytest.raises(GraphError, match="head: is no layer of this network"):
        mj.round_weights(network_of(), layers=["head"])
