"""What is learned of a block: it begins where the layer is, is set for good, and is taken again bit for bit."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.jobs.identity import Identity
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.affine import fake_quantize
from microjoule.quantization.block_parameters import (
    HELD,
    RATES,
    Rounding,
    Scale,
    finished,
    optimizer,
    read_block,
    restore,
)
from microjoule.quantization.soft_rounding import rectified_sigmoid

X = torch.rand(16, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    torch.manual_seed(1)
    made = mj.capture(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), X[:2])
    mj.quantize(made, weights=4)
    mj.calibrate(made, X)
    return made


def test_a_rounding_begins_at_the_exact_weight(network):
    layer = network.layers[0]
    before = layer.stored_weight.detach().clone()
    Rounding(layer).apply()
    inside = (before - fake_quantize(before, layer.quantizer.affine)).abs() <= layer.quantizer.affine.scale.max()
    assert torch.allclose(layer.quantizer(before)[inside], before[inside], atol=1e-5)


def test_an_integer_that_is_held_is_almost_kept(network):
    layer = network.layers[0]
    held = torch.round(layer.stored_weight.detach() / layer.quantizer.affine.scale.reshape(-1, 1))
    layer.quantizer.hold(held.clamp(-7, 7))
    h = rectified_sigmoid(Rounding(layer).v)
    assert torch.allclose(torch.where(h > 0.5, h, 1 - h), torch.full_like(h, HELD), atol=1e-5)
    Rounding(layer).finish()
    assert torch.equal(layer.quantizer.integers.float(), held.clamp(-7, 7))


def test_what_is_finished_is_kept_and_taken_again(network, tmp_path):
    other = network.copy()
    (scale,) = (Scale(next(iter(network.quantizers.values()))) for _ in range(1))
    rounding = Rounding(network.layers[0])
    with torch.no_grad():
        rounding.v.neg_()
        scale.logarithm.add_(0.25)
    with RunFolder(tmp_path, Identity.of) as run:
        assert read_block(run, "block", [rounding], [scale]) is None
        run.write("block", finished([rounding], [scale]))
        again, same = Rounding(other.layers[0]), Scale(next(iter(other.quantizers.values())))
        known = read_block(run, "block", [again], [same])
        restore([again], [same], known)
    assert torch.equal(again.quantizer.integers, rounding.quantizer.integers)
    assert same.quantizer.affine.scale == scale.quantizer.affine.scale
    assert torch.equal(other(X), network(X))


def test_what_is_off_the_grid_is_not_taken(network, tmp_path):
    rounding = Rounding(network.layers[0])
    kept = rounding.finish()
    kept["0/integers"] = kept["0/integers"] + 100
    with RunFolder(tmp_path, Identity.of) as run:
        run.write("block", kept)
        with pytest.warns(UserWarning, match="is done again"):
            assert read_block(run, "block", [Rounding(network.layers[0])], []) is None


def test_each_parameter_has_its_own_rate(network):
    layer, scale = network.layers[0], Scale(next(iter(network.quantizers.values())))
    groups = optimizer([Rounding(layer)], [scale]).param_groups
    largest = layer.bias.detach().abs().max().item()
    assert [group["lr"] for group in groups] == pytest.approx(
        [RATES["rounding"], RATES["scale"], RATES["bias"] * largest]
    )
    assert len(optimizer([Rounding(layer)], []).param_groups) == 2
