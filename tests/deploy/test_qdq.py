import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import tensor

from microjoule.deploy.activation_bounds import Bounds
from microjoule.deploy.qdq import Writer, stored_type, type_ends
from microjoule.numerics.affine import affine_from_range, fake_quantize, quantize
from microjoule.numerics.grid import IntGrid, Scheme


def model_of(affine, bounds, shape):
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
    end = ir.node("Identity", [x])
    graph = ir.Graph([x], [], nodes=[end], opset_imports={"": 21}, name="test")
    writer = Writer(graph)
    value = writer.quantize(x, "v", writer.grid("v", affine), bounds, at=end)
    graph.remove(end, safe=True)
    integers = next(out for node in graph for out in node.outputs if out.name == "v_quantized")
    for out, kind in ((value, ir.DataType.FLOAT), (integers, stored_type(affine.grid))):
        out.type, out.shape = ir.TensorType(kind), ir.Shape(shape)
        graph.outputs.append(out)
    return ir.Model(graph, ir_version=10)


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options)
    return [torch.from_numpy(np.asarray(out).astype(np.float64)) for out in session.run(None, {"x": x.numpy()})]


GRIDS = [
    IntGrid(bits, signed=signed, narrow=narrow)
    for bits in (2, 4, 7, 8, 10, 16)
    for signed, narrow in ((False, False), (True, False), (True, True))
]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
def test_rounding_is_that_of_the_simulation(grid, symmetric):
    affine = affine_from_range(tensor(-0.7), tensor(1.3), Scheme(grid, symmetric=symmetric))
    x = torch.linspace(-3, 3, 4001).reshape(1, -1)
    halves = (torch.arange(-40, 40) + 0.5) * affine.scale
    x = torch.cat([x, halves.reshape(1, -1)], 1)
    value, integers = run(model_of(affine, None, x.shape), x)
    assert torch.equal(integers, quantize(x, affine).double())
    assert torch.equal(value.float(), fake_quantize(x, affine))


@pytest.mark.parametrize("bits", [6, 8, 12])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (tensor(3), tensor(40)),
        (tensor(3), tensor([10, 20]).reshape(2, 1)),
        (tensor([3, 4]).reshape(2, 1), tensor(40)),
        (tensor(0), tensor([10, 20]).reshape(2, 1)),
        (tensor([3, 4]).reshape(2, 1), tensor([10, 20]).reshape(2, 1)),
    ],
)
def test_bounds_hold(bits, low, high):
    affine = affine_from_range(tensor(-0.7), tensor(1.3), Scheme(IntGrid(bits, signed=False)))
    x = torch.linspace(-3, 3, 802).reshape(1, 2, -1)
    _, integers = run(model_of(affine, Bounds(low, high), x.shape), x)
    assert torch.equal(integers, quantize(x, affine).clamp(low, high).double())


def test_a_full_grid_needs_no_bounds():
    affine = affine_from_range(tensor(-0.7), tensor(1.3), Scheme(IntGrid(8, signed=False)))
    assert [node.op_type for node in model_of(affine, None, (1, 2)).graph] == ["QuantizeLinear", "DequantizeLinear"]


def operators(bits, bounds):
    affine = affine_from_range(tensor(-0.7), tensor(1.3), Scheme(IntGrid(bits, signed=False)))
    return [node.op_type for node in model_of(affine, bounds, (1, 2, 3)).graph]


def test_one_bound_of_16_bits_is_an_operator_on_the_grid_and_channels_bounds_come_before_it():
    pair = ["QuantizeLinear", "DequantizeLinear"]
    assert operators(16, Bounds(tensor(3), tensor(40))) == [*pair, "Clip", *pair]
    assert operators(16, Bounds(tensor(3), tensor([40, 50]).reshape(2, 1))) == ["Max", "Min", *pair]


@pytest.mark.parametrize(
    ("consumer", "packed", "bits", "inputs"),
    [("Conv", False, 4, 2), ("Conv", True, 8, 2), ("Conv", True, 4, 3), ("Gemm", False, 8, 3)],
)
def test_a_weight_of_half_a_byte_has_its_zero_point_with_it(consumer, packed, bits, inputs):
    x = ir.Value(name="x")
    at = ir.node(consumer, [x])
    writer = Writer(ir.Graph([x], [], nodes=[at], name="test"))
    affine = affine_from_range(tensor(-1.0), tensor(1.0), Scheme(IntGrid(bits), symmetric=True))
    value = writer.weight("w", tensor([[1, -2]]), affine, at=at, packed=packed)
    assert len(value.producer().inputs) == inputs


@pytest.mark.parametrize(
    ("grid", "kind", "ends"),
    [
        (IntGrid(8), ir.DataType.INT8, (-128, 127)),
        (IntGrid(3, signed=False), ir.DataType.UINT8, (0, 255)),
        (IntGrid(9), ir.DataType.INT16, (-(2**15), 2**15 - 1)),
        (IntGrid(16, signed=False), ir.DataType.UINT16, (0, 2**16 - 1)),
    ],
)
def test_a_grid_has_the_smallest_type_that_holds_it(grid, kind, ends):
    assert stored_type(grid) is kind
    assert type_ends(kind) == ends


def test_equal_tensors_are_stored_once_and_others_under_another_name():
    writer = Writer(ir.Graph([], [], nodes=[], name="test"))
    first = writer.store("a", tensor([1, 2]), ir.DataType.INT8)
    assert writer.store("a", tensor([1, 2]), ir.DataType.INT8) is first
    assert writer.store("a", tensor([1, 3]), ir.DataType.INT8).name == "a_1"
    assert writer.store("a", tensor([1, 2]), ir.DataType.UINT8).name == "a_2"
