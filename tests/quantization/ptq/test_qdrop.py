"""QDrop: its equations by hand; what it learns is nearer to floating point, and is held for good."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import FileError, GraphError, SettingError
from microjoule.execution.run import unquantized
from microjoule.numerics.ranges import mse
from microjoule.quantization.ptq import qdrop
from microjoule.quantization.ptq.qdrop import dropped, learned_quantize, round_through


def test_rounding_has_the_slope_of_a_straight_line():
    x = tensor([0.4, 1.6, -2.5], requires_grad=True)
    y = round_through(x)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist()) == ([0.0, 2.0, -2.0], [1.0, 1.0, 1.0])


def test_slopes_of_a_learned_scale_by_hand():
    """Inside, the scale's slope is round(x / s) - x / s; beyond the ends, the end itself (Esser et al. 2020)."""
    x, scale = tensor([0.7, 5.0, -9.0], requires_grad=True), tensor(0.5, requires_grad=True)
    y = learned_quantize(x, scale, -4, 3)
    assert_close(y, tensor([0.5, 1.5, -2.0]))
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]
    assert scale.grad.item() == pytest.approx((1 - 1.4) + 3 - 4)


def test_half_of_the_elements_are_left_in_floating_point():
    q, x = torch.ones(10000), torch.zeros(10000)
    assert dropped(q, x, 0.25, torch.Generator().manual_seed(0)).mean().item() == pytest.approx(0.75, abs=0.02)
    assert dropped(q, x, 0.0, torch.Generator()) is q


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.expand = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 1)
        self.depthwise, self.project = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y = self.stem(x).relu()
        z = self.depthwise(self.expand(y).relu()).relu()
        return self.head((y + self.project(z)).mean((2, 3)))


@pytest.fixture(scope="module")
def example():
    torch.manual_seed(0)
    x = torch.rand(48, 3, 8, 8)
    network = mj.capture(Residual(), x)
    mj.quantize(network, weights=3, activations=4, weight_rule=mse)
    mj.calibrate(network, x, rule=mse)
    return network, x


def lost(found, network, x):
    with unquantized(network):
        exact = network(x)
    return (found(x) - exact).square().mean().item()


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_a_network_is_nearer_to_floating_point_than_with_nearest_rounding(example, drop):
    network, x = example
    found = network.copy()
    record = mj.qdrop(found, x, iterations=150, drop=drop)
    assert [layer.layer for layer in record.layers] == ["stem", "expand, depthwise, project", "head"]
    assert record.layers[-1].error_after < record.layers[-1].error_before
    assert lost(found, network, x) < 0.7 * lost(network, network, x)
    for layer in found.layers:
        assert_close(
            layer.weight, layer.quantizer.integers * layer.quantizer.scale.reshape(-1, *[1] * (layer.weight.dim() - 1))
        )
    assert all(quantizer.enabled for quantizer in found.quantizers.values())
    scales = [(found.quantizers[name].scale, old.scale) for name, old in network.quantizers.items()]
    assert any(new != old for new, old in scales)


@pytest.mark.slow
def test_it_starts_from_integers_that_are_held(example):
    network, x = example
    found = network.copy()
    mj.gptq(found, x)
    before = [layer.quantizer.integers.clone() for layer in found.layers]
    record = mj.qdrop(found, x, iterations=1, exact=network)
    for layer, integers in zip(found.layers, before, strict=True):
        assert torch.equal(layer.quantizer.integers, integers)
    mj.qdrop(found, x, iterations=500, exact=network, drop=0.0)
    assert record.layers[-1].error_before < 1
    assert any(not torch.equal(layer.quantizer.integers, old) for layer, old in zip(found.layers, before, strict=True))
    for layer, integers in zip(found.layers, before, strict=True):
        assert (layer.quantizer.integers - integers).abs().max() <= 1


def test_the_same_seed_gives_the_same_network(example):
    network, x = example
    copies = [network.copy() for _ in range(2)]
    for copy in copies:
        mj.qdrop(copy, x, iterations=20, seed=4)
    assert torch.equal(copies[0](x), copies[1](x))


class StoppedError(Exception):
    """Ends a run in its middle."""


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_an_interrupted_run_learns_no_block_again_and_ends_in_the_same(example, blocks, tmp_path, monkeypatch):
    network, x = example
    whole, parts, learned = network.copy(), [network.copy(), network.copy()], []
    mj.qdrop(whole, x, iterations=10, seed=4)
    learn = qdrop._learn

    def counted(part, *rest):
        if len(learned) == blocks:
            raise StoppedError
        learned.append(part.block.layers)
        learn(part, *rest)

    monkeypatch.setattr(qdrop, "_learn", counted)
    with pytest.raises(StoppedError) if blocks < 3 else nullcontext():
        mj.qdrop(parts[0], x, iterations=10, seed=4, folder=tmp_path / "run")
    learned_before, blocks = list(learned), 3
    mj.qdrop(parts[1], x, iterations=10, seed=4, folder=tmp_path / "run")
    assert len(learned) == len(set(learned)) == 3
    assert learned[: len(learned_before)] == learned_before
    pairs = zip(whole.state_dict().items(), parts[1].state_dict().items(), strict=True)
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)
    with pytest.raises(FileError, match="another run"):
        mj.qdrop(network.copy(), x, iterations=11, seed=4, folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"iterations": 0}, "at least 1"), ({"drop": 1.0}, "less than 1"), ({"drop": -0.1}, "drop")],
)
def test_settings_that_make_no_sense_are_refused(example, options, message):
    with pytest.raises(SettingError, match=message):
        mj.qdrop(example[0].copy(), example[1], **options)


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(GraphError, match=r"mj\.quantize"):
        mj.qdrop(mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.zeros(2, 2)), torch.zeros(2, 2))
