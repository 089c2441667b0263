"""Inserting quantizers: bits by layer, excluded layers, freezing, refusals that change nothing."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import GraphError, MicrojouleError, SettingError, TargetError
from microjoule.numerics.affine import fake_quantize
from microjoule.numerics.ranges import mse


def network():
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4))


def bits(made):
    return {layer.path: layer.quantizer.scheme.grid.bits if layer.quantizer else None for layer in made.layers}


def test_weights_lie_on_their_grid_with_a_scale_for_each_channel():
    made = network()
    record = mj.quantize(made)
    for layer in made.layers:
        scale = layer.quantizer.scale[:, None]
        steps = layer.weight / scale
        assert layer.quantizer.scale.shape == (layer.out_channels,)
        assert_close(steps, steps.round(), rtol=0, atol=1e-4)
        assert steps.abs().max() <= 127.001
    assert {grid.kind for grid in record.grids} == {"weight", "activation", "input"}


@pytest.mark.parametrize(
    ("layers", "weight_bits", "output_bits"),
    [({"0": 4}, 4, 8), ({"0": (4, 16)}, 4, 16), ({"0": (None, 16)}, 8, 16), ({}, 8, 8)],
    ids=["weights", "both", "outputs", "none"],
)
def test_a_layer_gets_other_bits_by_one_argument(layers, weight_bits, output_bits):
    made = network()
    record = mj.quantize(made, layers=layers)
    assert bits(made) == {"0": weight_bits, "2": 8}
    outputs = [grid.bits for grid in record.grids if grid.kind == "activation" and grid.layer == "0"]
    assert outputs == [output_bits]


def test_an_excluded_layer_stays_in_floating_point_and_is_named():
    made = network()
    record = mj.quantize(made, layers={"2": None})
    assert bits(made) == {"0": 8, "2": None}
    assert [skipped.place for skipped in record.skipped] == ["2"]


def test_before_calibration_activations_pass_through():
    made, x = network(), torch.randn(3, 4)
    reference = made.copy()
    mj.quantize(made, weights=8, layers={"0": None, "2": None})
    assert torch.equal(made(x), reference(x))


def test_freezing_moves_no_output_by_more_than_a_step_and_rounds_biases_to_the_grid_of_their_sums():
    made, x = network(), torch.randn(7, 4)
    mj.quantize(made)
    mj.calibrate(made, x)
    before = made(x)
    mj.freeze(made)
    step = list(made.quantizers.values())[-1].scale.item()
    assert (made(x) - before).abs().max() <= step * 1.001
    first, source = made.layers[0], next(iter(made.quantizers.values()))
    in_steps = first.bias.double() / (first.quantizer.scale.double() * source.scale.double())
    assert_close(in_steps, in_steps.round(), rtol=1e-6, atol=1e-3)
    frozen = made(x)
    mj.freeze(made)
    assert torch.equal(made(x), frozen)


def test_frozen_weights_stand_for_their_integers_until_they_are_released():
    made, x = network(), torch.randn(7, 4)
    mj.quantize(made)
    mj.calibrate(made, x)
    mj.freeze(made)
    before = made(x)
    with torch.no_grad():
        made.layers[0].stored_weight.zero_()
    assert_close(made(x), before, rtol=0, atol=0)
    mj.unfreeze(made)
    assert not made.layers[0].weight.any()


def test_the_rule_for_weights_is_used():
    one, other = network(), network()
    mj.quantize(one, weights=3, target="per-tensor")
    mj.quantize(other, weights=3, target="per-tensor", weight_rule=mse)
    errors = [sum((layer.weight - layer.stored_weight).square().sum() for layer in m.layers) for m in (one, other)]
    assert errors[1] < errors[0]


def test_the_simulation_is_what_the_pure_function_says():
    made, x = network(), torch.randn(7, 4)
    mj.quantize(made)
    mj.calibrate(made, x)
    values = x
    for layer, names in zip(made.layers, (("input", "0"), ("2",)), strict=True):
        quantizers = list(made.quantizers.values())
        if names[0] == "input":
            values = fake_quantize(values, quantizers[0].affine)
        values = values @ layer.weight.t() + layer.bias
        values = values.relu() if layer.path == "0" else values
        values = fake_quantize(values, quantizers[1 if layer.path == "0" else 2].affine)
    assert_close(made(x), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"weights": 0}, SettingError, "1 to 16 bits"),
        ({"weights": 17}, SettingError, "1 to 16 bits"),
        ({"weights": 16}, TargetError, "takes weights of"),
        ({"activations": 2}, TargetError, "takes activations of"),
        ({"layers": {"nowhere": 4}}, GraphError, "no layer"),
        ({"target": "abacus"}, TargetError, "is no target"),
    ],
    ids=["0 bits", "17 bits", "bits of weights", "bits of activations", "unknown layer", "unknown target"],
)
def test_what_cannot_be_done_is_refused_and_nothing_changed(settings, error, words):
    made = network()
    with pytest.raises(error, match=words):
        mj.quantize(made, **settings)
    assert not made.quantizers
    assert bits(made) == {"0": None, "2": None}


def test_a_quantized_network_is_not_quantized_again():
    made = network()
    mj.quantize(made)
    with pytest.raises(GraphError, match="has quantizers already"):
        mj.quantize(made)


def test_weights_that_are_not_finite_are_refused_before_anything_changes():
    made = network()
    with torch.no_grad():
        made.layers[1].stored_weight[0, 0] = float("nan")
    with pytest.raises(MicrojouleError):
        mj.quantize(made)
    assert bits(made) == {"0": None, "2": None}
    assert not made.quantizers


def test_layers_are_named_as_skipped_in_the_order_they_were_given():
    record = mj.quantize(network(), layers={"2": None, "0": None})
    assert [skipped.place for skipped in record.skipped] == ["2", "0"]


def test_a_layer_that_the_target_does_not_run_is_named():
    made = mj.capture(nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Conv2d(4, 2, 1)), torch.randn(2, 3, 4, 4))
    record = mj.quantize(made, target="onnxruntime")
    assert [(s.place, s.reason) for s in record.skipped] == [
        ("0", "onnxruntime does not run conv_transpose in integer; its weights are quantized")
    ]
    assert bits(made) == {"0": 8, "1": 8}


def test_a_layer_at_the_root_is_quantized():
    made = mj.capture(nn.Linear(4, 3), torch.randn(2, 4))
    mj.quantize(made)
    assert bits(made) == {"linear": 8}


def test_a_value_that_no_layer_makes_goes_by_its_name():
    made = mj.capture(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4))
    record = mj.quantize(made, target="per-tensor", layers={"input_1": (None, 6), "0": (4, 5)})
    assert [(grid.name, grid.bits) for grid in record.grids] == [("0", 4), ("input_1", 6), ("_0", 5)]


@pytest.mark.parametrize("bits", [8, (4, 8)])
def test_a_value_has_no_weights(bits):
    made = mj.capture(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4))
    with pytest.raises(SettingError, match="input_1: is a value without weights"):
        mj.quantize(made, layers={"input_1": bits})
