from collections import Counter

import pytest
import torch
from torch import nn, tensor

from microjoule.capture.export import capture
from microjoule.deploy.onnx_file import onnx_model
from microjoule.graph.activation import Activation
from microjoule.graph.edit import clamp_channels
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import CASES, images, quantized, small


def operators(model):
    return Counter(node.op_type for node in model.graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_layer_reads_integers_of_32_bits_for_its_bias(name):
    network, _ = small(name, target="per-tensor")
    model, *_ = onnx_model(network)
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            read = [value.producer() for value in node.inputs if value is not None]
            assert [made.op_type for made in read] == ["DequantizeLinear"] * len(read)
            stored = [made.inputs[0].const_value for made in read[1:]]
            assert [tensor.dtype.name for tensor in stored] == ["INT8", "INT32"][: len(stored)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_mark_is_left(name):
    model, *_ = onnx_model(small(name, target="per-tensor")[0])
    assert {node.domain for node in model.graph} == {""}
    assert set(model.opset_imports) == {""}


@pytest.mark.slow
def test_a_bias_is_at_the_scale_of_the_sum():
    network, _ = small("conv")
    model, _, notes = onnx_model(network)
    (conv,) = [node for node in model.graph if node.op_type == "Conv"]
    (x, weight, bias) = [value.producer().inputs[1].const_value.numpy() for value in conv.inputs]
    assert bias == pytest.approx(x * weight, rel=1e-6)
    assert "1 biases are integers of 32 bits" in notes


def test_padding_goes_into_the_convolution():
    assert operators(onnx_model(small("pad")[0])[0])["Pad"] == 0


def test_relu_and_relu6_leave_nothing_behind():
    for name in ("relu", "relu6"):
        assert set(operators(onnx_model(small(name)[0])[0])) == {"Conv", "QuantizeLinear", "DequantizeLinear"}


def test_caps_of_each_channel_are_a_minimum_of_integers():
    network = capture(nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU6()), images(4, 4, 5, 5))
    node = next(n for n in network.graph.nodes if Activation.at(network.module, n) is not None)
    clamp_channels(network, node, torch.zeros(3, 1, 1), tensor([0.2, 0.4, 9.0]).reshape(3, 1, 1))
    network.recompile()
    quantize(network)
    calibrate(network, images(4, 4, 5, 5))
    model, _, notes = onnx_model(network)
    (cap,) = [node for node in model.graph if node.op_type == "Min"]
    assert cap.inputs[0].producer().op_type == "QuantizeLinear"
    assert cap.outputs[0].name.endswith("_quantized")
    assert "1 activations are bounds of their quantizer's integers" in notes


def test_a_mean_over_the_image_is_global_pooling_on_integers():
    model, *_ = onnx_model(small("mean")[0])
    (pool,) = [node for node in model.graph if node.op_type == "GlobalAveragePool"]
    assert [user.op_type for user, _ in pool.outputs[0].uses()] == ["QuantizeLinear"]
    assert operators(onnx_model(small("mean of one axis")[0])[0])["ReduceMean"] == 1


def test_an_operator_that_keeps_the_scale_stands_between_integers():
    model, _, notes = onnx_model(small("slice")[0])
    (cut,) = [node for node in model.graph if node.op_type == "Slice"]
    assert cut.inputs[0].producer().op_type == "DequantizeLinear"
    (again,) = [user for user, _ in cut.outputs[0].uses()]
    assert again.op_type == "QuantizeLinear"
    assert again.inputs[1] is cut.inputs[0].producer().inputs[1]
    assert "1 values that keep their input's scale say so with quantizers of their own" in notes


def test_a_layer_that_is_called_twice_is_stored_once():
    model, *_ = onnx_model(small("reused")[0])
    assert len([name for name in model.graph.initializers if name.endswith("weight_quantized")]) == 1
    assert operators(model)["Conv"] == 2


def test_a_channel_whose_bias_does_not_fit_is_noted():
    module = nn.Sequential(nn.Conv2d(4, 2, 1))
    module[0].weight.data[0] = 1e-9
    module[0].bias.data[0] = 5.0
    *_, notes = onnx_model(quantized(module, images(2, 4, 3, 3)))
    assert "1 channels have a larger weight scale, since their bias needs it" in notes


@pytest.mark.parametrize(("packed", "kind"), [(False, "INT8"), (True, "INT4")])
def test_weights_of_four_bits_take_half_a_byte_on_request(packed, kind):
    model, *_ = onnx_model(small("conv", weights=4)[0], packed=packed)
    (weight,) = [v for name, v in model.graph.initializers.items() if name.endswith("weight_quantized")]
    assert weight.const_value.dtype.name == kind
