import re
from importlib import resources

import pytest
import torch
from torch import nn, tensor

from microjoule.capture.export import capture
from microjoule.costs.target import parse
from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_support import unsupported
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import INTEGER_RUNNER, verify
from microjoule.errors import DataError, ExportError
from microjoule.graph.activation import Activation
from microjoule.graph.edit import clamp_channels
from microjoule.numerics.affine import dequantize
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import Function, images, quantized, small


def test_a_layer_by_hand():
    """Inputs in steps of 0.01 from 0 to 2.55, weights 0.5 and 1.27 in steps of 0.01, the output in steps of 0.02."""
    module = nn.Sequential(nn.Linear(2, 1))
    module[0].weight.data, module[0].bias.data = tensor([[0.5, 1.27]]), tensor([0.1])
    network = capture(module, torch.rand(4, 2))
    quantize(network)
    read, made = network.quantizers.values()
    read.set_range(tensor(0.0), tensor(2.55))
    made.set_range(tensor(0.0), tensor(5.1))
    found, outputs = IntegerRunner(network).integers((tensor([[1.0, 2.0]]),))
    first, last = network.quantizers
    assert found[first].tolist() == [[100, 200]]
    assert found[last].tolist() == [[157]]  # 0.5 + 2.54 + 0.1 = 3.14
    assert outputs.item() == pytest.approx(3.14, abs=1e-6)


def test_what_comes_out_is_on_the_last_grid():
    network, x = small("relu")
    found, outputs = IntegerRunner(network).integers((x,))
    last = list(network.quantizers)[-1]
    assert torch.equal(outputs, dequantize(found[last], network.quantizers[last].affine))


def test_caps_of_each_channel_hold():
    torch.manual_seed(0)
    network = capture(nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU6()), images(4, 4, 5, 5))
    node = next(n for n in network.graph.nodes if Activation.at(network.module, n) is not None)
    clamp_channels(network, node, torch.zeros(3, 1, 1), tensor([0.2, 0.4, 9.0]).reshape(3, 1, 1))
    network.recompile()
    quantize(network)
    calibrate(network, images(4, 4, 5, 5))
    scale = float(list(network.quantizers.values())[-1].scale)
    got = IntegerRunner(network)(images(6, 4, 5, 5)).amax((0, 2, 3))
    assert got[0].item() == pytest.approx(0.2, abs=scale)
    assert got[1].item() == pytest.approx(0.4, abs=scale)


def test_what_it_does_not_run_is_named_all_at_once():
    module = Function(
        lambda m, x: m.b(torch.softmax(m.b(torch.cumsum(m.a(x), 1)), 1)), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1)
    )
    network = capture(module, images(2, 4, 3, 3))
    quantize(network)
    calibrate(network, images(2, 4, 3, 3))
    with pytest.raises(ExportError, match=r"(?s)cumsum.*none of its operators.*softmax.*none of its operators"):
        IntegerRunner(network)


def reasons(network):
    return "; ".join(unsupported(network))


def test_a_network_without_quantizers_has_nothing_to_run_with():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3))
    assert "reads a value without a quantizer" in reasons(network)


def test_a_layer_in_floating_point_is_named():
    network = quantized(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3), layers={"1": None})
    assert re.search(r"^1 \(its weight has no quantizer\)", reasons(network))


def test_a_quantizer_without_a_range_is_named():
    network = capture(nn.Sequential(nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3))
    quantize(network)
    assert "its quantizer has no range yet" in reasons(network)


def made(function, **settings):
    return quantized(
        Function(lambda m, x: m.b(function(m.a(x))), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 2, 1)),
        images(4, 4, 5, 5),
        **settings,
    )


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y: torch.cat([y, torch.ones(y.shape)], 2), "reads a value without a quantizer"),
        (lambda y: torch.clamp(y, max=y.mean()), "without a quantizer|its bounds are computed"),
        (lambda y: y / (y.square() + 1), "none of its operators|has no form for two quantized values"),
        (lambda y: torch.where(y > 0, y, y * 2), "none of its operators"),
    ],
)
def test_what_has_no_form_is_named(function, reason):
    assert re.search(reason, reasons(made(function, target="qualcomm-htp")))


def test_sums_have_as_many_bits_as_the_target_says():
    text = (resources.files("microjoule.costs") / "targets" / "per-tensor.toml").read_text()
    narrow = parse(text.replace("accumulator_bits = 32", "accumulator_bits = 12"), "narrow")
    network, x = small("linear", target=narrow)
    assert IntegerRunner(network).accumulator_bits == 12
    with pytest.raises(ExportError, match="does not fit into 12 bits"):
        IntegerRunner(network)(x)
    IntegerRunner(network, accumulator_bits=32)(x)


def test_all_outputs_come_out_in_their_nesting():
    module = Function(lambda m, x: {"a": m.a(x), "b": [m.b(x)]}, a=nn.Conv2d(4, 2, 1), b=nn.Conv2d(4, 3, 1))
    network = quantized(module, images(2, 4, 3, 3))
    found, outputs = IntegerRunner(network).integers((images(3, 4, 3, 3),))
    assert outputs["a"].shape == (3, 2, 3, 3)
    assert torch.equal(outputs["b"][0], dequantize(found["b"], network.quantizers["b"].affine))


@pytest.mark.parametrize("function", [lambda y: y + torch.linspace(0, 1, 5), lambda y: y * y.shape[3]])
def test_stored_tensors_and_sizes_have_quantizers_of_their_own(function, tmp_path):
    network = made(function)
    export(network, tmp_path / "x.onnx")
    (found,) = verify(network, tmp_path / "x.onnx", images(6, 4, 5, 5), runtimes=[INTEGER_RUNNER])
    assert max(layer.largest_steps for layer in found.layers) <= 1


def test_a_sum_beyond_the_accumulator_names_its_layer():
    network, x = small("linear")
    (layer,) = network.layers
    with pytest.raises(ExportError, match=rf"{layer.path}: a sum of [0-9.e+]+ does not fit into 12 bits"):
        IntegerRunner(network, accumulator_bits=12)(x)


def test_inputs_that_do_not_fit_are_refused():
    network, _ = small("conv")
    with pytest.raises(DataError, match="and the network was captured for"):
        IntegerRunner(network)(images(2, 5, 9, 9))


def test_the_runner_keeps_what_it_was_given():
    network, x = small("conv")
    runner = IntegerRunner(network)
    before = runner(x)
    list(network.quantizers.values())[-1].set_range(tensor(-100.0), tensor(100.0))
    assert torch.equal(runner(x), before)
