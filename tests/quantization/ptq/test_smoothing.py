"""Smoothing: scales by hand and by law, networks that stay the same, ranges that meet, and what it is worth."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx import Node
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import DataError, GraphError, SettingError
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer
from microjoule.quantization.ptq.smoothing import smoothing_scale
from microjoule.zoo.vit import VisionTransformer
from tests.capture.models import Function
from tests.quantization.networks import network_of, outputs


def norm(channels: int = 4, **settings: bool) -> nn.LayerNorm:
    """A layer norm with weights and biases of its own."""
    made = nn.LayerNorm(channels, **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(3 * torch.randn(channels, generator=generator))
    return made


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.0, [1 / 4, 1.0, 2.0]), (0.5, [2.0, 0.5, 6.0]), (1.0, [16.0, 0.25, 18.0])],
)
def test_by_hand(alpha, expected):
    values, weights = torch.tensor([16.0, 0.25, 18.0]), torch.tensor([4.0, 1.0, 0.5])
    assert_close(smoothing_scale(values, weights, alpha), torch.tensor(expected))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_channel_that_is_never_there_or_never_read_is_left_alone(alpha):
    assert smoothing_scale(torch.tensor([0.0, 2.0, 0.0]), torch.tensor([3.0, 0.0, 0.0]), alpha).tolist() == [1, 1, 1]


@given(channels=st.integers(1, 9), alpha=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_values_keep_a_power_of_the_product_and_weights_take_the_rest(channels, alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    values, weights = (4 * torch.randn(2, channels, generator=generator, dtype=torch.float64)).exp()
    scale = smoothing_scale(values, weights, alpha)
    assert_close(values / scale, (values * weights) ** (1 - alpha))
    assert_close(weights * scale, (values * weights) ** alpha)


def add_to_itself(m: nn.Module, x: Tensor) -> Tensor:
    y = m.norm(x)
    return y + m.head(y)


def read_twice(m: nn.Module, x: Tensor) -> Tensor:
    y = m.norm(x)
    return m.head(y) + m.head(y[:, :1])


def attend(m: nn.Module, x: Tensor) -> Tensor:
    x = m.norm(x)
    return F.scaled_dot_product_attention(m.q(x), m.k(x), m.v(x))


def linear(ins: int = 4, outs: int = 4) -> nn.Linear:
    return nn.Linear(ins, outs)


torch.manual_seed(0)
SMOOTHED = {
    "norm": (nn.Sequential(norm(), linear()), 1),
    "norm without bias": (nn.Sequential(norm(bias=False), linear()), 1),
    "queries, keys, values": (Function(attend, norm=norm(), q=linear(), k=linear(), v=linear()), 1),
    "dropout": (nn.Sequential(norm(), nn.Dropout(), linear()), 1),
    "a class token": (Function(lambda m, x: m.head(m.norm(x)[:, 0]), norm=norm(), head=linear()), 1),
    "mean of tokens": (Function(lambda m, x: m.head(m.norm(x).mean(1)), norm=norm(), head=linear()), 1),
    "windows": (
        Function(
            lambda m, x: m.head(m.norm(x).reshape(-1, 3, 2, 4).transpose(1, 2).permute(0, 2, 1, 3)),
            norm=norm(),
            head=linear(),
        ),
        1,
    ),
    "perceptron": (nn.Sequential(norm(), linear(4, 6), nn.ReLU(), linear(6, 4)), 2),
    "caps": (nn.Sequential(linear(), nn.ReLU6(), linear(), nn.Hardtanh(0, 2), linear()), 2),
    "channels flattened": (
        Function(lambda m, x: m.head(m.norm(x).flatten(1)), norm=norm(), head=linear(24, 2)),
        1,
    ),
    "channels chosen": (Function(lambda m, x: m.head(m.norm(x)[..., :2]), norm=norm(), head=linear(2, 2)), 1),
    "channels of two norms": (
        Function(lambda m, x: m.head(torch.cat([m.a(x), m.b(x)], 2)), a=norm(), b=norm(), head=linear(8, 2)),
        2,
    ),
    "two norms": (nn.Sequential(norm(), linear(), norm(), linear()), 2),
}
"""Name -> (module of inputs (n, 6, 4), how many groups it has)."""


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("name", SMOOTHED)
def test_a_network_computes_the_same(name, alpha):
    module, groups = SMOOTHED[name]
    network, x = network_of(module, 6, 4)
    before, stored = outputs(network, x), [layer.stored_weight.detach().clone() for layer in network.layers]
    record = mj.smooth(network, [x], alpha=alpha)
    assert len(record.groups) == groups
    assert network.history[-1] is record
    assert_close(outputs(network, x), before)
    assert any(not torch.equal(layer.stored_weight, old) for layer, old in zip(network.layers, stored, strict=True))


def test_in_single_precision_outputs_differ_by_a_hundred_thousandth_at_most():
    torch.manual_seed(0)
    model = VisionTransformer(width=16, depth=2, heads=2, patch=4, grid=2, classes=5).eval()
    x = torch.randn(6, 3, 8, 8)
    network = mj.capture(model, x[:2])
    before = outputs(network, x)
    assert len(mj.smooth(network, x).groups) == 5
    assert (outputs(network, x) - before).abs().max() <= 1e-5 * before.abs().max()


@pytest.mark.parametrize("alpha", [0.25, 0.5])
def test_all_that_read_a_norm_get_one_scale_by_their_largest_weights(alpha):
    module, _ = SMOOTHED["queries, keys, values"]
    network, x = network_of(module, 6, 4)
    path = "norm"
    values = outputs_of_norm(network, x, path)
    columns = torch.stack([network.layer(name).stored_weight.detach().abs().amax(0) for name in "qkv"]).amax(0)
    record = mj.smooth(network, [x], alpha=alpha)
    assert_close(outputs_of_norm(network, x, path), (values * columns) ** (1 - alpha))
    after = torch.stack([network.layer(name).stored_weight.detach().abs().amax(0) for name in "qkv"]).amax(0)
    assert_close(after, (values * columns) ** alpha)
    scale = values**alpha / columns ** (1 - alpha)
    assert record.groups == {"norm -> q, k, v": pytest.approx((scale.min().item(), scale.max().item()))}


def outputs_of_norm(network: mj.Network, x: Tensor, path: str) -> Tensor:
    """The largest |x| of each channel that a norm gives, (channels,)."""
    with torch.no_grad():
        return network.module.get_submodule(path)(x).abs().flatten(0, -2).amax(0)


def test_along_a_chain_every_range_is_what_the_equation_says():
    """With alpha of a half, each layer's largest inputs and the columns that read them meet, also where rows moved."""
    network, x = network_of(SMOOTHED["perceptron"][0], 6, 4)
    mj.smooth(network, [x])
    with torch.no_grad():
        values = network.module.get_submodule("0")(x)
        for path in ("1", "3"):
            largest = values.abs().flatten(0, 1).amax(0)
            live = largest > 0
            assert live.sum() >= 4
            assert_close(largest[live], network.layer(path).stored_weight.detach().abs().amax(0)[live])
            values = F.relu(network.module.get_submodule(path)(values))


SKIPPED = {
    "no weight": (nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), linear()), "it has no weight of its own"),
    "two dimensions": (nn.Sequential(nn.LayerNorm((6, 4)), linear()), "it normalizes 2 dimensions"),
    "a residual": (
        Function(lambda m, x: m.norm(x) + m.head(m.norm(x)), norm=norm(), head=linear()),
        "it is used more than once",
    ),
    "a residual of what it gives": (
        Function(add_to_itself, norm=norm(), head=linear()),
        r"add \(add\) reads it",
    ),
    "an activation": (nn.Sequential(norm(), nn.GELU(), linear()), r"gelu \(_1\) reads it"),
    "an output": (nn.Sequential(linear(), norm()), "it is an output of the network"),
    "a convolution": (
        Function(lambda m, x: m.head(m.norm(x).transpose(1, 2)), norm=norm(), head=nn.Conv1d(4, 3, 1)),
        "head, which reads it, is no linear layer",
    ),
    "a convolution of tokens": (
        nn.Sequential(norm(), nn.Conv1d(6, 3, 1)),
        "1 reads another dimension than the channels",
    ),
    "its weight read elsewhere": (
        Function(lambda m, x: m.head(m.norm(x)) * m.norm.weight, norm=norm(), head=linear()),
        "it is used more than once",
    ),
    "one layer twice": (
        Function(read_twice, norm=norm(), head=linear()),
        "head, which reads it, is used more than once",
    ),
    "channels swapped": (
        Function(lambda m, x: m.head(m.norm(x).transpose(1, 2)), norm=norm(), head=linear(6, 2)),
        "head reads another dimension than the channels",
    ),
    "channels permuted": (
        Function(lambda m, x: m.head(m.norm(x).permute(0, 2, 1)), norm=norm(), head=linear(6, 2)),
        "head reads another dimension than the channels",
    ),
    "mean of channels": (
        Function(lambda m, x: m.head(m.norm(x).mean(2)), norm=norm(), head=linear(6, 2)),
        "mean adds up its channels",
    ),
}
"""Name -> (module of inputs (n, 6, 4), why its norm is left alone)."""


@pytest.mark.parametrize("name", SKIPPED)
def test_what_cannot_be_smoothed_is_named_with_the_reason(name):
    module, reason = SKIPPED[name]
    network, x = network_of(module, 6, 4)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    record = mj.smooth(network, [x])
    assert record.groups == {}
    place = next(place_of(node) for node in network.graph.nodes if kind(network.module, node) == "layer_norm")
    assert re.search(reason, next(skipped.reason for skipped in record.skipped if skipped.place == place))
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def place_of(node: Node) -> str:
    """What a node is called in a record."""
    return str(node.target) if node.op == "call_module" else node.name


def with_outliers(factor: float) -> mj.Network:
    """A transformer with two channels in each block that are larger, and weights that make up for it."""
    torch.manual_seed(0)
    model = VisionTransformer(width=32, depth=2, heads=4, patch=4, grid=4, classes=10).eval()
    with torch.no_grad():
        for block in model.blocks:
            for before, reader in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp[0])):
                before.weight[[3, 17]] *= factor
                reader.weight[:, [3, 17]] /= factor
    return mj.capture(model, torch.randn(2, 3, 16, 16))


def error_in_8_bits(network: mj.Network, seen: Tensor, unseen: Tensor) -> float:
    """The squared error of a network with one scale a tensor, relative to its outputs."""
    exact = outputs(network, unseen)
    mj.quantize(network, target="per-tensor", weights=8, activations=8)
    mj.calibrate(network, seen)
    return ((outputs(network, unseen) - exact).square().sum() / exact.square().sum()).item()


def test_outliers_of_fifty_times_cost_ten_times_less_error():
    """Measured: 0.117 of the outputs' power without smoothing, 0.0076 with it, and 0.0059 without any outlier."""
    seen, unseen = torch.randn(96, 3, 16, 16, generator=torch.Generator().manual_seed(1)).split(64)
    plain, smoothed = with_outliers(50), with_outliers(50)
    mj.smooth(smoothed, seen)
    assert error_in_8_bits(plain, seen, unseen) > 10 * error_in_8_bits(smoothed, seen, unseen)


def test_only_as_many_samples_as_asked_are_used():
    network, x = network_of(SMOOTHED["norm"][0], 6, 4)
    assert mj.smooth(network, [x], samples=3).samples == 3


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(alpha):
    network, x = network_of(SMOOTHED["norm"][0], 6, 4)
    with pytest.raises(SettingError, match=f"alpha: is {alpha}"):
        mj.smooth(network, [x], alpha=alpha)


def test_a_quantized_network_is_refused():
    network, x = network_of(SMOOTHED["norm"][0], 6, 4)
    mj.quantize(network)
    assert any(isinstance(module, Quantizer) for module in network.module.modules())
    with pytest.raises(GraphError, match=r"has quantizers already\n  call mj.smooth before mj.quantize"):
        mj.smooth(network, [x])


def test_inputs_that_do_not_fit_are_refused():
    network, x = network_of(SMOOTHED["norm"][0], 6, 4)
    with pytest.raises(DataError, match="and the network was captured for"):
        mj.smooth(network, [x[..., :3]])
