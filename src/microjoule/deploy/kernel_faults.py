"""Where ONNX Runtime's integer kernels fail, other operators stand, which it computes in floating point.

ONNX Runtime makes one integer kernel of an operator between a DequantizeLinear and a QuantizeLinear. Some of them do
not take every grid:

- QLinearGlobalAveragePool stops unless 2^-32 <= s_x / (s_y · places) < 256, as where averages are near 0;
- QLinearSoftmax makes floor(1 / s_y) + z_y of 1, and before version 1.29 cuts the higher bits off in int8 where that
  is beyond the type: 128 becomes -128. A file is for every version, and has no such grid.

And it rounds weights that are to stay in floating point: those of a Conv, ConvTranspose or Gemm between two grids get
8 bits and one scale for the tensor. An operator that changes nothing keeps such a layer from its grid.

Source: ONNX Runtime 1.31, onnxruntime/core/mlas/lib/qlgavgpool.cpp,
onnxruntime/contrib_ops/cpu/quantization/qlinear_softmax.cc and
onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization.cc, https://github.com/microsoft/onnxruntime.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from microjoule.deploy.qdq import Grid, Writer, stored_type, type_ends
from microjoule.numerics.affine import Affine

LAYERS = frozenset(("Conv", "ConvTranspose", "Gemm"))
"""Operators whose weights ONNX Runtime rounds by itself."""

SAME = "Max"
"""Of one value: the value. ONNX Runtime takes an Identity away, and a Clip without bounds."""

AXES_AS_INPUT = 18
"""From this opset on ReduceMean reads its axes."""

SMALLEST_FACTOR, LARGEST_FACTOR = 2.0**-32, 256.0


@dataclass(frozen=True, slots=True)
class Place:
    """An operator between two grids.

    Args:
        node: the operator.
        read: the grid of what it reads.
        made: the grid of what it makes.
    """

    node: ir.Node
    read: Affine
    made: Affine


Rewrite = Callable[[Place, Writer], bool]
"""Puts other operators in an operator's place if its integer kernel fails there; says whether it did."""


def avoid_faults(graph: ir.Graph, grids: Mapping[ir.Value, Grid], writer: Writer) -> list[str]:
    """Replace what fails in integer, in place.

    Args:
        graph: with integers in it.
        grids: of the values that a DequantizeLinear gives.
        writer: of the graph.

    Returns:
        The operators that are in floating point now, by their kind.
    """
    return [place.node.op_type for place in list(_places(graph, grids)) if REWRITES[place.node.op_type](place, writer)]


def keep_weights(graph: ir.Graph, grids: Mapping[ir.Value, Grid], writer: Writer) -> int:
    """Keep ONNX Runtime from rounding weights that are in floating point, in place.

    Args:
        graph: with integers in it.
        grids: of the values that a DequantizeLinear gives.
        writer: of the graph.

    Returns:
        How many layers it is kept from.
    """
    layers = [node for node in graph if node.op_type in LAYERS and node.inputs[0] in grids and _is_real(node.inputs[1])]
    for node in layers:
        x = node.inputs[0]
        assert x is not None
        same = writer.add(SAME, [x], writer.free(f"{x.name}_real"), at=node)
        same.type, same.shape = x.type, x.shape
        node.replace_input_with(0, same)
    return len(layers)


def _is_real(weight: ir.Value | None) -> bool:
    producer = None if weight is None else weight.producer()
    return producer is None or producer.op_type != "DequantizeLinear"


def _places(graph: ir.Graph, grids: Mapping[ir.Value, Grid]) -> Iterator[Place]:
    makes = {grid.scale: grid for grid in grids.values()}
    for node in graph:
        if node.op_type not in REWRITES or node.inputs[0] not in grids:
            continue
        quantizers = [user for user, _ in node.outputs[0].uses() if user.op_type == "QuantizeLinear"]
        scales = [user.inputs[1] for user in quantizers if user.inputs[1] in makes]
        if scales:
            assert node.inputs[0] is not None
            yield Place(node, grids[node.inputs[0]].affine, makes[scales[0]].affine)


def _global_average(place: Place, writer: Writer) -> bool:
    shape = place.node.inputs[0].shape if place.node.inputs[0] is not None else None
    sizes = [size for size in (shape or ())[2:] if isinstance(size, int)]
    if shape is None or len(sizes) < len(shape) - 2:
        return False
    factor = float(place.read.scale) / (float(place.made.scale) * float(np.prod(sizes)))
    if SMALLEST_FACTOR <= factor < LARGEST_FACTOR:
        return False
    _replace(place.node, _mean(place.node, len(shape), writer))
    return True


def _mean(node: ir.Node, rank: int, writer: Writer) -> ir.Value:
    """The same as a mean over all axes but the first two, which no integer kernel is made of."""
    name, x = f"{node.outputs[0].name}_mean", node.inputs[0]
    if writer.graph.opset_imports[""] < AXES_AS_INPUT:
        return writer.add("ReduceMean", [x], name, at=node, keepdims=1, axes=list(range(2, rank)))
    axes = writer.store("spatial_axes", torch.arange(2, rank), ir.DataType.INT64)
    return writer.add("ReduceMean", [x, axes], name, at=node, keepdims=1)


def _softmax(place: Place, writer: Writer) -> bool:
    one = torch.round(1 / place.made.scale) + place.made.zero_point
    if float(one) <= type_ends(stored_type(place.made.grid))[1]:
        return False
    axis = place.node.attributes["axis"].as_int() if "axis" in place.node.attributes else -1
    name = place.node.outputs[0].name
    logarithm = writer.add("LogSoftmax", [place.node.inputs[0]], f"{name}_log", at=place.node, axis=axis)
    _replace(place.node, writer.add("Exp", [logarithm], f"{name}_exp", at=place.node))
    return True


def _replace(node: ir.Node, value: ir.Value) -> None:
    value.type, value.shape = node.outputs[0].type, node.outputs[0].shape
    node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
    graph = node.graph
    assert graph is not None
    graph.remove(node, safe=True)


REWRITES: dict[str, Rewrite] = {"GlobalAveragePool": _global_average, "Softmax": _softmax}
"""By operator."""
