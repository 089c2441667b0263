from dataclasses import fields

import pytest
import torch
from torch import nn
from torch.nn.functional import relu6
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import FileError
from microjoule.execution.batches import batches
from microjoule.execution.fitted import Fitted
from microjoule.execution.reconstruct import Look, reconstruct
from microjoule.graph.patches import weight_from_rows, weight_rows
from microjoule.numerics.least_squares import Moments, moments


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.second(relu6(self.first(x))).mean((2, 3)))


IMAGES = torch.rand(10, 3, 6, 6, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = mj.capture(Net(), torch.rand(2, 3, 6, 6))
    mj.quantize(found, target="per-tensor", weights=4)
    mj.calibrate(found, IMAGES)
    return found


def nearest(rows):
    """Keeps what rounding to nearest gives, and the bias."""
    layer = rows.layer
    affine = layer.quantizer.affine
    integers = torch.round(layer.stored_weight.detach() / affine.scale).clamp(affine.grid.qmin, affine.grid.qmax)
    return Fitted(integers, layer.bias.detach(), 0.5, 0.25)


def run(network, fit, **options):
    look = Look(**{"rows": 30, "whole": True, **options})
    return reconstruct(network, batches(IMAGES, batch_size=4), network.layers, fit, look)


def test_rows_are_from_the_quantized_network_and_targets_from_floating_point(network):
    exact, seen = network.copy(), {}

    def fit(rows):
        seen[rows.layer.path] = rows
        return nearest(rows)

    done, samples = run(network, fit)
    assert (samples, [one.layer for one in done]) == (10, ["first", "second", "last"])
    assert [(one.error_before, one.error_after) for one in done] == [(0.5, 0.25)] * 3
    for layer in exact.layers:
        rows = seen[layer.path]
        ought = rows.inputs @ weight_rows(layer, layer.stored_weight.detach()).transpose(1, 2)
        ought = ought + layer.bias.detach().reshape(layer.groups, 1, -1)
        close = (ought - rows.targets).abs().max().item()
        assert 0 < close < 0.2, "inputs are quantized, targets are not"
    assert seen["first"].inputs.shape == (1, 30, 27)
    assert seen["second"].inputs.shape == (4, 30, 9)
    assert seen["last"].inputs.shape == (1, 10, 4)
    levels = seen["second"].inputs / network.quantizers["relu6"].scale
    torch.testing.assert_close(levels, levels.round())


def test_moments_are_those_of_the_rows_which_are_left_out_if_nobody_wants_them(network):
    seen = []
    for whole in (True, False):
        run(network.copy(), lambda rows: seen.append(rows) or nearest(rows), whole=whole)
    for rows, without in zip(seen[:3], seen[3:], strict=True):
        assert without.inputs.numel() == without.targets.numel() == 0
        for field in fields(Moments):
            expected = getattr(moments(rows.inputs, rows.targets), field.name)
            torch.testing.assert_close(getattr(rows.known, field.name), expected, atol=1e-6, rtol=1e-5)
            other = getattr(without.known, field.name)
            torch.testing.assert_close(getattr(rows.known, field.name), other, atol=0, rtol=0)


def test_the_clamp_after_a_layer_is_told(network):
    seen = {}

    def fit(rows):
        seen[rows.layer.path] = rows.activation
        return nearest(rows)

    run(network, fit)
    assert (seen["first"].low, seen["first"].high) == (0.0, 6.0)
    assert seen["second"] is None


def test_a_layer_reads_what_the_fitted_layers_before_it_give(network):
    seen = {}

    def silence_the_first(rows):
        seen[rows.layer.path] = rows.inputs
        found = nearest(rows)
        if rows.layer.path == "first":
            zero = rows.layer.quantizer.zero_point
            return Fitted(zero.expand_as(found.integers), torch.full((4,), 0.25), 0, 0)
        return found

    run(network, silence_the_first)
    scale = network.quantizers["relu6"].scale
    quarter = torch.round(0.25 / scale) * scale
    torch.testing.assert_close(seen["second"], quarter.expand_as(seen["second"]))


def test_weights_and_biases_are_those_that_were_found(network):
    run(network, lambda rows: Fitted(torch.ones_like(rows.layer.stored_weight), rows.layer.bias.detach() + 1, 0, 0))
    layer = network.layers[0]
    assert (layer.weight == layer.quantizer.scale).all()
    assert weight_from_rows(layer, weight_rows(layer, layer.weight)).shape == layer.weight.shape


def test_an_interrupted_run_goes_on_and_fits_no_layer_twice(network, tmp_path):
    whole, fitted = network.copy(), []

    def fit(rows):
        if len(fitted) == 2:
            raise KeyboardInterrupt
        fitted.append(rows.layer.path)
        return nearest(rows)

    with pytest.raises(KeyboardInterrupt):
        run(network.copy(), fit, folder=tmp_path / "kept")
    again = []
    resumed = network.copy()
    run(resumed, lambda rows: again.append(rows.layer.path) or nearest(rows), folder=tmp_path / "kept")
    assert (fitted, again) == (["first", "second"], ["last"])
    run(whole, nearest)
    for one, other in zip(whole.layers, resumed.layers, strict=True):
        assert torch.equal(one.weight, other.weight)


def test_another_seed_is_another_run(network, tmp_path):
    run(network.copy(), nearest, folder=tmp_path, seed=0)
    with pytest.raises(FileError, match="another run"):
        run(network.copy(), nearest, folder=tmp_path, seed=1)


def test_layers_that_read_much_at_each_place_are_looked_at_in_fewer(network, monkeypatch):
    monkeypatch.setattr("microjoule.execution.reconstruct.VALUES", 27 * 20)
    seen = {}

    def fit(rows):
        seen[rows.layer.path] = rows.inputs.shape[1]
        return nearest(rows)

    run(network, fit)
    assert seen == {"first": 20, "second": 20, "last": 10}


def test_a_network_in_floating_point_gets_weights_fitted_to_what_it_was(tmp_path):
    torch.manual_seed(0)
    network = mj.capture(Net(), torch.rand(2, 3, 6, 6))
    exact = network.copy()

    def fit(rows):
        if rows.layer.path != "first":
            assert_close(rows.known.output_mean.flatten(), means[rows.layer.path])
        weight = rows.layer.stored_weight.detach()
        return Fitted(None, torch.full((len(weight),), 7.0), 0.5, 0.25, weight=2 * weight)

    kept = reconstruct(network, batches(IMAGES), network.layers, keep, Look(rows=10_000))
    assert [one.layer for one in kept[0]] == ["first", "second", "last"]
    for folder in (tmp_path / "run", tmp_path / "run"):
        changed = exact.copy()
        reconstruct(changed, batches(IMAGES), changed.layers, fit, Look(rows=10_000, folder=folder))
        for layer in changed.layers:
            assert torch.equal(layer.stored_weight, 2 * exact.layer(layer.path).stored_weight)
            assert torch.equal(layer.bias, torch.full_like(layer.bias, 7.0))


means = {}


def keep(rows):
    """Leaves a layer alone, and remembers what it gives on average."""
    means[rows.layer.path] = rows.known.output_mean.flatten()
    return Fitted(None, rows.layer.bias.detach(), 0.0, 0.0, weight=rows.layer.stored_weight.detach())
