"""What of a file ONNX Runtime computes with integers, in multiply-accumulates: read off the graph that it makes of it.

    mj.integer_share("model.int8.onnx").share

A file with QuantizeLinear and DequantizeLinear says where grids are; which operators then run in integer is the
runtime's decision. So the file is opened, what the runtime made of it is looked at, and one sample is run for the
shapes. It works on any ONNX file, whoever wrote it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

from microjoule.deploy.macs import INTEGER, NO_KERNEL_FOR, macs, weight_of
from microjoule.deploy.session import RUNTIME, WARNINGS_OFF, read_model
from microjoule.errors import DataError, FileError
from microjoule.records.measured import IntegerShare, OperatorMacs

NO_KERNEL = "ONNX Runtime has no integer kernel for {0}"
WIDE = "a grid has {0} bits, for which ONNX Runtime has no integer kernel of {1}"
WEIGHT = "its weight is not quantized"
INPUT = "what it reads is not quantized"
OUTPUT = "what it gives is not quantized"
NOT_FUSED = "ONNX Runtime has not fused it with its quantizers"
REASONS = (NO_KERNEL, WIDE, WEIGHT, INPUT, OUTPUT, NOT_FUSED)
"""Why an operator is in floating point."""

SHAPE_ONLY = frozenset(("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Max"))
"""Operators between a DequantizeLinear and its reader that change no value; a Max of one value is our own."""

ATTENTION = "AttentionFusion"
"""An optimization that would hide products with integer kernels in one operator."""

KERNEL = "_kernel_time"
BYTES = frozenset((onnx.TensorProto.INT8, onnx.TensorProto.UINT8))
BITS: dict[int, int] = {
    onnx.TensorProto.INT16: 16,
    onnx.TensorProto.UINT16: 16,
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.INT32: 32,
}


def integer_share(file: str | Path | bytes, inputs: Mapping[str, np.ndarray] | None = None) -> IntegerShare:
    """What ONNX Runtime computes with integers, operator by operator.

    Args:
        file: the path of an ONNX file, or its content.
        inputs: arrays by the names of the file's inputs, from which the shapes follow; None for one sample, where all
            other sizes are known.

    Raises:
        FileError: if there is no such file, or ONNX Runtime does not take it.
        DataError: if the inputs do not go through it.
    """
    place = "the file" if isinstance(file, bytes) else str(file)
    model = onnx.ModelProto.FromString(file) if isinstance(file, bytes) else read_model(file)
    given = inputs if inputs is not None else {one.name: _zeros(one) for one in _inputs(model)}
    with TemporaryDirectory() as folder:
        made, shapes = _run(model, place, given, Path(folder))
    graph = _Graph.of(made)
    operators = tuple(_operators(graph, shapes))
    kinds = [node.op_type for node in made.graph.node]
    quantizers = sum(kind in ("QuantizeLinear", "DynamicQuantizeLinear") for kind in kinds)
    name = "" if isinstance(file, bytes) else str(file)
    return IntegerShare(name, RUNTIME, operators, len(kinds), quantizers, kinds.count("DequantizeLinear"))


# Running it -----------------------------------------------------------------------------------------------------------

Shapes = dict[str, list[tuple[list[tuple[int, ...]], list[tuple[int, ...]]]]]
"""For each node by name the shapes of what it read and gave, once for each time that the name occurs."""


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    stored = {one.name for one in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in stored]


def _zeros(entry: onnx.ValueInfoProto) -> np.ndarray:
    """One sample; zeros are in the range of every index."""
    tensor = entry.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else 1 for dim in tensor.shape.dim]
    return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _run(
    model: onnx.ModelProto, place: str, inputs: Mapping[str, np.ndarray], folder: Path
) -> tuple[onnx.ModelProto, Shapes]:
    """What the runtime makes of a file, and the shapes of one run."""
    options = onnxruntime.SessionOptions()
    # The level above this one changes the layout of memory, and pads weights for it, but no operator's kind.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.log_severity_level = WARNINGS_OFF
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=[ATTENTION]
        )
    except Exception as error:  # its exceptions have no common class of their own
        reason = str(error).splitlines()[0]
        raise FileError(place, f"ONNX Runtime does not take it: {reason}", remedy="export it again") from error
    try:
        session.run(None, dict(inputs))
    except Exception as error:
        reason = str(error).splitlines()[0]
        remedy = "give inputs of the sizes that the file takes"
        raise DataError(place, f"the inputs do not go through it: {reason}", remedy=remedy) from error
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    shapes: Shapes = {}
    for one in events:
        if one.get("cat") == "Node" and one["name"].endswith(KERNEL):
            both = (_sizes(one["args"]["input_type_shape"]), _sizes(one["args"]["output_type_shape"]))
            shapes.setdefault(one["name"].removesuffix(KERNEL), []).append(both)
    return onnx.load(folder / "optimized.onnx"), shapes


def _sizes(entries: list[dict[str, list[int]]]) -> list[tuple[int, ...]]:
    return [tuple(shape) for entry in entries for shape in entry.values()]


# Reading it -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph with its stored tensors and who makes what."""

    nodes: list[onnx.NodeProto]
    stored: dict[str, onnx.TensorProto]
    makers: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "_Graph":
        nodes = list(model.graph.node)
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        makers = {name: node for node in nodes for name in node.output}
        return cls(nodes, {one.name: one for one in model.graph.initializer}, makers, readers)

    def source(self, name: str) -> onnx.NodeProto | None:
        """Who makes a value, operators looked through that change none."""
        node = self.makers.get(name)
        while node is not None and node.op_type in SHAPE_ONLY and (node.op_type != "Max" or len(node.input) == 1):
            name = node.input[0]
            node = self.makers.get(name)
        return node


def _operators(graph: _Graph, shapes: Shapes) -> Iterator[OperatorMacs]:
    for node in graph.nodes:
        entries = shapes.get(node.name, [])
        read, made = entries.pop(0) if entries else ([], [])
        dims = {name: tuple(graph.stored[name].dims) for name in node.input if name in graph.stored}
        count = macs(node, read, made, dims)
        if count is None:
            continue
        integer = node.op_type in INTEGER
        yield OperatorMacs(_layer(graph, node), node.op_type, count, integer, "" if integer else _reason(graph, node))


def _layer(graph: _Graph, node: onnx.NodeProto) -> str:
    """The path of the weight that an operator reads, as the file calls it, or the operator's own name."""
    name = weight_of(node)
    source = graph.source(name) if name else None
    if source is not None and source.op_type == "DequantizeLinear":
        name = source.input[0]
    if name not in graph.stored:
        return node.name.removeprefix("node_") or node.output[0]
    for ending in ("_quantized", "_DequantizeLinear", ".weight"):
        name = name.removesuffix(ending)
    return name


def _reason(graph: _Graph, node: onnx.NodeProto) -> str:
    """Why an operator does not compute with integers."""
    if node.op_type in NO_KERNEL_FOR:
        return NO_KERNEL.format(node.op_type)
    weight = weight_of(node)
    factors = [name for name in (node.input[0], weight) if name]
    kinds = {name: _grid_type(graph, name) for name in factors}
    if weight and kinds[weight] is None and _is_stored(graph, weight):
        return WEIGHT
    if any(kind is None for kind in kinds.values()):
        return INPUT
    wide = [BITS.get(kind, 0) for kind in kinds.values() if kind is not None and kind not in BYTES]
    if wide:
        return WIDE.format(wide[0], node.op_type)
    if not any(reader.op_type == "QuantizeLinear" for reader in graph.readers.get(node.output[0], [])):
        return OUTPUT
    return NOT_FUSED


def _is_stored(graph: _Graph, name: str) -> bool:
    node = graph.makers.get(name)
    while node is not None and node.op_type in SHAPE_ONLY:
        name = node.input[0]
        node = graph.makers.get(name)
    return name in graph.stored


def _grid_type(graph: _Graph, name: str) -> int | None:
    """The type of the integers that a value comes from, or None if it comes from none."""
    source = graph.source(name)
    if source is None or source.op_type != "DequantizeLinear":
        return None
    stored: Any = next((graph.stored[one] for one in (source.input[0], *source.input[2:]) if one in graph.stored), None)
    return onnx.TensorProto.UINT8 if stored is None else int(stored.data_type)
