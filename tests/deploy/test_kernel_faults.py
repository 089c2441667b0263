"""What ONNX Runtime's integer kernels fail at, seen in ONNX Runtime."""

from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn, tensor

from microjoule.deploy import kernel_faults
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import ONNX_RUNTIME, verify
from tests.deploy.networks import Function, images, quantized


def kinds_in(path, tmp_path):
    """The operators of the graph that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 3, str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


def steps_apart(network, path, x):
    (found,) = verify(network, path, x, runtimes=[ONNX_RUNTIME])
    return max(layer.largest_steps for layer in found.layers)


def pooled(scale):
    """A mean of a value in wide steps, on steps of a given size."""
    network = quantized(Function(lambda m, x: m.a(x).mean((2, 3)), a=nn.Conv2d(2, 2, 1)), images(4, 2, 4, 4))
    last = list(network.quantizers.values())[-1]
    last.set_range(tensor(-scale * 128), tensor(scale * 127))
    return network


@pytest.mark.parametrize(("share", "integer"), [(0.95, False), (1.05, True)])
def test_means_near_0_are_in_floating_point(share, integer, tmp_path):
    """The kernel takes s_x / (16 s_y) below 256 alone."""
    torch.manual_seed(0)
    network = pooled(1.0)
    source = float(list(network.quantizers.values())[-2].scale)
    torch.manual_seed(0)
    network = pooled(share * source / (16 * kernel_faults.LARGEST_FACTOR))
    record = export(network, tmp_path / "x.onnx")
    assert (kinds_in(tmp_path / "x.onnx", tmp_path)["QLinearGlobalAveragePool"] == 1) == integer
    assert any("GlobalAveragePool are in floating point" in note for note in record.notes) != integer
    assert steps_apart(network, tmp_path / "x.onnx", images(4, 2, 4, 4)) <= 1


@pytest.mark.parametrize(("high", "integer"), [(1.0, True), (254 / 255, False), (0.5, False)])
def test_softmax_is_in_floating_point_where_its_grid_ends_below_1(high, integer, tmp_path):
    """One class takes all: 1 is beyond the grid, and ONNX Runtime's kernel makes 0 of 256."""
    module = Function(lambda m, x: F.softmax(100 * m.a(x), 1), a=nn.Conv2d(4, 4, 1))
    network = quantized(module, images(4, 4, 3, 3))
    list(network.quantizers.values())[-1].set_range(tensor(0.0), tensor(high))
    export(network, tmp_path / "x.onnx")
    assert (kinds_in(tmp_path / "x.onnx", tmp_path)["QLinearSoftmax"] == 1) == integer
    assert steps_apart(network, tmp_path / "x.onnx", images(4, 4, 3, 3)) <= 1


def test_without_that_the_largest_probability_would_be_0(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_faults, "REWRITES", {})
    module = Function(lambda m, x: F.softmax(100 * m.a(x), 1), a=nn.Conv2d(4, 4, 1))
    network = quantized(module, images(4, 4, 3, 3))
    list(network.quantizers.values())[-1].set_range(tensor(0.0), tensor(254.4 / 255))
    export(network, tmp_path / "x.onnx", check=False)
    assert steps_apart(network, tmp_path / "x.onnx", images(4, 4, 3, 3)) >= 254


@pytest.mark.parametrize(
    "middle", [nn.Conv2d(8, 4, 3, groups=2), nn.ConvTranspose2d(8, 4, 2), nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU())]
)
def test_weights_that_stay_in_floating_point_are_not_rounded_by_onnx_runtime(middle, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 8, 3), middle, nn.Conv2d(4, 2, 1))
    network = quantized(module, images(8, 4, 9, 9), layers=_left(middle))
    record = export(network, tmp_path / "x.onnx")
    assert any("kept from ONNX Runtime's rounding" in note for note in record.notes)
    kinds = kinds_in(tmp_path / "x.onnx", tmp_path)
    assert kinds["QLinearConv"] == 2
    (found,) = verify(network, tmp_path / "x.onnx", images(8, 4, 9, 9), runtimes=[ONNX_RUNTIME])
    assert (
        min(layer.equal_share for layer in found.layers) > 0.999
    )  # a real sum next to a half may be rounded either way


def _left(middle):
    """What stays in floating point: the target does not run a transposed convolution in integer anyway."""
    if isinstance(middle, nn.ConvTranspose2d):
        return {}
    return {"1.0" if isinstance(middle, nn.Sequential) else "1": None}


def test_a_linear_layer_too(tmp_path):
    torch.manual_seed(0)
    network = quantized(
        nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)), images(8, 8), layers={"1": None}
    )
    export(network, tmp_path / "x.onnx")
    assert kinds_in(tmp_path / "x.onnx", tmp_path)["QGemm"] == 2
    (found,) = verify(network, tmp_path / "x.onnx", images(8, 8), runtimes=[ONNX_RUNTIME])
    assert [layer.equal_share for layer in found.layers] == [1.0] * len(found.layers)


def test_quantized_layers_are_left_alone(tmp_path):
    record = export(
        quantized(nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 2, 1)), images(4, 4, 9, 9)), tmp_path / "x.onnx"
    )
    assert "Max" not in record.operators
