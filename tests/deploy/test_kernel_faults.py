"""What ONNX Runtime's integer kernels fail at, seen in ONNX Runtime."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn, tensor

from microjoule.deploy import kernel_faults, onnx_graph
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
    """One class takes all: 1 is beyond the grid, where not every version of ONNX Runtime's kernel gives its end."""
    module = Function(lambda m, x: F.softmax(100 * m.a(x), 1), a=nn.Conv2d(4, 4, 1))
    network = quantized(module, images(4, 4, 3, 3))
    list(network.quantizers.values())[-1].set_range(tensor(0.0), tensor(high))
    export(network, tmp_path / "x.onnx")
    assert (kinds_in(tmp_path / "x.onnx", tmp_path)["QLinearSoftmax"] == 1) == integer
    assert steps_apart(network, tmp_path / "x.onnx", images(4, 4, 3, 3)) <= 1


def largest_probability(kind, scale, zero_point):
    """What QLinearSoftmax makes of a probability of 1."""
    stored = {"s": 1.0, "z": zero_point, "ys": scale}
    values = {name: np.array(value, np.float32 if "s" in name else kind) for name, value in stored.items()}
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    x, y = (onnx.helper.make_tensor_value_info(name, element, [1, 4]) for name in "xy")
    softmax = onnx.helper.make_node(
        "QLinearSoftmax", ["x", "s", "z", "ys", "z"], ["y"], domain="com.microsoft", axis=-1, opset=13
    )
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = onnx.helper.make_graph([softmax], "graph", [x], [y], weights)
    sets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.array([[100, 0, 0, 0]], kind)})
    return int(found[0, 0])


@pytest.mark.parametrize("steps", [255, 256, 300])
def test_what_the_kernel_makes_of_1(steps):
    """The end of the grid; but before version 1.29 the kernel of int8 cuts the higher bits off."""
    cuts = tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29)
    assert largest_probability(np.uint8, 1 / (steps + 0.5), 0) == 255
    expected = int(np.array(steps - 128).astype(np.int8)) if cuts else 127
    assert largest_probability(np.int8, 1 / (steps + 0.5), -128) == expected


MIDDLES = {
    "1": lambda: nn.Conv2d(8, 4, 3, groups=2),
    "1 transposed": lambda: nn.ConvTranspose2d(8, 4, 2),
    "1.0": lambda: nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU()),
}
"""By the path of the layer that is left in floating point."""


def with_real_middle(middle):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 8, 3), MIDDLES[middle](), nn.Conv2d(4, 2, 1))
    return quantized(module, images(8, 4, 9, 9), layers={middle.split()[0]: None})


def equal_shares(network, path):
    """Of each value, how many of its integers are the same; all others are at most a step away."""
    (found,) = verify(network, path, images(8, 4, 9, 9), runtimes=[ONNX_RUNTIME])
    assert max(layer.largest_steps for layer in found.layers) <= 1
    return [layer.equal_share for layer in found.layers]


@pytest.mark.parametrize("middle", MIDDLES)
def test_weights_that_stay_in_floating_point_are_not_rounded_by_onnx_runtime(middle, tmp_path):
    network = with_real_middle(middle)
    record = export(network, tmp_path / "x.onnx")
    assert any("kept from ONNX Runtime's rounding" in note for note in record.notes)
    assert kinds_in(tmp_path / "x.onnx", tmp_path)["QLinearConv"] == 2
    assert min(equal_shares(network, tmp_path / "x.onnx")) > 0.999  # a sum next to a half may be rounded either way


@pytest.mark.parametrize("middle", MIDDLES)
def test_without_that_they_would_be(middle, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "keep_weights", lambda *others: 0)
    network = with_real_middle(middle)
    export(network, tmp_path / "x.onnx", check=False)
    assert equal_shares(network, tmp_path / "x.onnx")[2] < 0.97


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
