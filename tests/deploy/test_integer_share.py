import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy import integer_share as module
from microjoule.deploy.integer_share import integer_share
from microjoule.deploy.onnx_file import export
from microjoule.errors import DataError, FileError
from tests.deploy.networks import Function, images, quantized
from tests.deploy.onnx_models import node, onnx_file


def shared(network, path):
    export(network, path)
    return integer_share(path)


def reasons(share):
    return {one.layer: one.reason for one in share.operators if not one.integer}


def test_a_network_in_integers_by_hand(tmp_path):
    """6 x 6 outputs of 8 x 4 x 4 kernels, then 288 x 5; what goes in is quantized once, what comes out dequantized."""
    network = quantized(
        nn.Sequential(nn.Conv2d(4, 8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)), images(4, 4, 9, 9)
    )
    share = shared(network, tmp_path / "x.onnx")
    found = [(one.layer, one.operator, one.macs, one.integer, one.reason) for one in share.operators]
    assert found == [("0", "QLinearConv", 36 * 8 * 64, True, ""), ("3", "QGemm", 288 * 5, True, "")]
    assert (share.share, share.macs, share.quantizers, share.dequantizers) == (1.0, 36 * 512 + 1440, 1, 1)


@pytest.mark.parametrize(
    ("module_of", "settings", "reason"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 4, 2)),
            {},
            module.NO_KERNEL.format("ConvTranspose"),
        ),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), {"layers": {"1": None}}, module.WEIGHT),
        (
            lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
            {"activations": 16, "layers": {"0": None}},
            module.WIDE.format(16, "Conv"),
        ),
    ],
)
def test_why_an_operator_is_in_floating_point(module_of, settings, reason, tmp_path):
    network = quantized(module_of(), images(2, 4, 5, 5), **settings)
    assert reasons(shared(network, tmp_path / "x.onnx"))["1"] == reason


def test_products_of_two_values_have_reasons(tmp_path):
    """One factor is on a grid, the other is what an operator of another kind made of it."""
    attention = Function(
        lambda m, x: m.b((y := m.a(x)) @ torch.cumsum(y, 1).transpose(1, 2)), a=nn.Linear(6, 6), b=nn.Linear(4, 2)
    )
    network = quantized(attention, images(2, 4, 6))
    found = shared(network, tmp_path / "x.onnx")
    assert all(one.reason in (module.INPUT, module.OUTPUT, "") for one in found.operators)
    assert any(one.macs == 4 * 4 * 6 for one in found.operators)


def test_a_file_in_floating_point_has_no_share(tmp_path):
    network = capture(nn.Sequential(nn.Conv2d(4, 4, 3)).eval(), images(2, 4, 5, 5))
    found = shared(network, tmp_path / "x.onnx")
    assert (found.share, found.dequantizers) == (0.0, 0)
    assert reasons(found) == {"0": module.WEIGHT}


def test_a_file_without_products_is_whole(tmp_path):
    path = onnx_file(tmp_path, [node("Relu", "x", "y")], ["y"])
    assert integer_share(path).share == 1.0


def test_the_content_of_a_file_will_do(tmp_path):
    path = onnx_file(tmp_path, [node("Conv", "x w", "y")], ["y"], weights={"w": np.ones((3, 2, 1, 1), "f")})
    found = integer_share(path.read_bytes())
    assert (found.path, found.macs) == ("", 16 * 6)


def test_inputs_say_what_open_sizes_are(tmp_path):
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", "length", 4])]
    path = onnx_file(tmp_path, [node("MatMul", "x w", "y")], ["y"], inputs=inputs, weights={"w": np.ones((4, 3), "f")})
    assert integer_share(path).macs == 12
    assert integer_share(path, {"x": np.zeros((2, 5, 4), "f")}).macs == 120


def test_what_cannot_be_run_is_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        integer_share(tmp_path / "none.onnx")
    path = onnx_file(tmp_path, [node("NoSuchOperator", "x", "y")], ["y"])
    with pytest.raises(FileError, match="ONNX Runtime does not take it"):
        integer_share(path)
    path = onnx_file(tmp_path, [node("Relu", "x", "y")], ["y"])
    with pytest.raises(DataError, match="the inputs do not go through it"):
        integer_share(path, {"x": np.zeros((1, 2), "f")})


def test_every_reason_is_on_the_list():
    assert len(set(module.REASONS)) == len(module.REASONS) == 6
