"""The order of an ONNX file: the file as a computation, and the same file with its nodes in another order.

ONNX Runtime follows the file's order if its session asks for PRIORITY_BASED and changes nothing of the graph
(`onnx_order_run`). What it keeps in its arena, and so what a computation counts, was looked up in version 1.31:

- Reshape, Flatten, Squeeze, Unsqueeze and Identity give their input, unless their output is the caller's: then they
  copy;
- activation functions and softmax write over an input that nobody reads later, sums and products do not;
- the caller's inputs lie elsewhere; weights too.

Constants are no steps: nodes are counted without them, here and by ONNX Runtime.

A file with QuantizeLinear and DequantizeLinear is counted as an integer runtime runs it, with each operator and the
quantizers around it in one kernel: what is dequantized takes nothing, what is quantized at once takes the integers'
bytes, and weights are weights though they are dequantized. Not so a file that ONNX Runtime has optimized: it has fused
there what it fuses, so each quantizer that is left is a kernel of its own, and gives what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from microjoule.deploy.session import read_model
from microjoule.errors import ExportError, FileError, GraphError, SettingError
from microjoule.records.files import write_atomically
from microjoule.scheduling.computation import Computation, Operator, Value

VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"))
"""Operators that only call their input something else."""

IN_PLACE = frozenset(
    (
        *("Relu", "LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "Clip"),
        *("Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Softmax", "LogSoftmax"),
    )
)
"""Operators that write over their first input."""

WORDS = {"Conv": "conv", "Concat": "concat", "Add": "add"}
"""What we call operators of which a rewriting must know; others have their own name in small letters."""

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

OPTIMIZED = "com.microsoft.nchwc"
"""The operators of a layout inside ONNX Runtime: every file that it has optimized says that it may use them."""

HALF_BYTES = frozenset((onnx.TensorProto.UINT4, onnx.TensorProto.INT4, onnx.TensorProto.FLOAT4E2M1))


def onnx_computation(path: str | Path, *, batch: int = 1, keeps_inputs: bool = True) -> Computation:
    """What an ONNX file computes, as values of some bytes.

    Args:
        path: of the file.
        batch: how many samples, where the file leaves the first size of its inputs open.
        keeps_inputs: whether the caller's inputs count; False for ONNX Runtime's arena, which does not hold them.

    Raises:
        SettingError: for a batch below 1.
        FileError: if there is no such file, or something else is in it.
        GraphError: if a size is not known before a run, or nodes have graphs of their own or are out of order.
    """
    if batch < 1:
        raise SettingError("batch", f"is {batch}", remedy="use at least 1")
    model = read_model(path)
    return _Reading(str(path), model, _sizes(str(path), model, batch), keeps_inputs=keeps_inputs).computation()


def has_quantizers(path: str | Path) -> bool:
    """Whether a file says where its integers are, for a runtime that fuses quantizers into operators.

    Raises:
        FileError: if there is no such file, or something else is in it.
    """
    model = read_model(path)
    return _is_to_be_fused(model) and any(node.op_type == DEQUANTIZE for node in model.graph.node)


def _is_to_be_fused(model: onnx.ModelProto) -> bool:
    return all(one.domain != OPTIMIZED for one in model.opset_import)


def write_onnx_order(path: str | Path, order: Sequence[int], target: str | Path) -> Path:
    """Write an ONNX file again, with its nodes in another order and everything else as it is.

    Args:
        path: of the file.
        order: indices of its nodes, each once; constants are not counted, and come first.
        target: where to write.

    Returns:
        The path that was written.

    Raises:
        FileError: if the file cannot be read or written.
        GraphError: if the order leaves a node out, or has one before what it needs.
        ExportError: if it is over 2 GiB.
    """
    model = read_model(path)
    nodes, constants = steps(model), [node for node in model.graph.node if node.op_type == "Constant"]
    if sorted(order) != list(range(len(nodes))):
        fact = f"has {len(nodes)} nodes beside constants, and the order names {len(order)}"
        raise GraphError(str(path), fact, remedy="name each node once, by its index from 0")
    made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    seen: set[int] = set()
    for index in order:
        late = [made_by[name] for name in nodes[index].input if name in made_by and made_by[name] not in seen]
        if late:
            fact = f"comes before {called(nodes[late[0]])}, which it needs"
            raise GraphError(f"{path}: {called(nodes[index])}", fact, remedy="give an order in which it can run")
        seen.add(index)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*constants, *(nodes[i] for i in order))]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    try:
        content = model.SerializeToString()
    except Exception as error:  # protobuf's own, without a common class
        raise ExportError(str(path), "is over 2 GiB in one file", remedy="quantize its weights") from error
    return write_atomically(target, content)


def steps(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that run: all but constants."""
    return [node for node in model.graph.node if node.op_type != "Constant"]


def called(node: onnx.NodeProto) -> str:
    """A node's name, or what it makes."""
    return node.name or f"{node.op_type} of {next(iter(node.output), 'nothing')}"


@dataclass(frozen=True, slots=True)
class _Size:
    """What a value takes."""

    bytes: int
    is_known: bool


def _sizes(place: str, model: onnx.ModelProto, batch: int) -> dict[str, _Size]:
    """The sizes of all values for a batch."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    _set_batch(place, asked, batch)
    try:
        found = onnx.shape_inference.infer_shapes(asked, data_prop=True).graph
    except Exception as error:  # of a class of onnx's own, or protobuf's
        reason = str(error).strip().splitlines()[0]
        raise FileError(place, f"its shapes cannot be found: {reason}", remedy="export the network again") from error
    return {one.name: _size(one.type) for one in (*found.value_info, *found.input, *found.output)}


def _size(kind: onnx.TypeProto) -> _Size:
    tensor = kind.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    known = kind.HasField("tensor_type") and tensor.HasField("shape")
    known = known and all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    if not known or tensor.elem_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return _Size(0, is_known=False)
    bits = 4 if tensor.elem_type in HALF_BYTES else 8 * _item_bytes(tensor.elem_type)
    return _Size((prod(dims) * bits + 7) // 8, is_known=min(dims, default=0) >= 0 and bits > 0)


def _item_bytes(kind: int) -> int:
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, ValueError):
        return 0


def _set_batch(place: str, model: onnx.ModelProto, batch: int) -> None:
    """Put the batch where an input's first size is open, and wherever else the file calls it by the same name."""
    stored = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in stored]
    firsts = [one.type.tensor_type.shape.dim[0] for one in inputs if one.type.tensor_type.shape.dim]
    names = {dim.dim_param for dim in firsts if dim.dim_param}
    for dim in firsts:
        if _is_open(dim):
            dim.dim_value = batch
    for one in (*inputs, *model.graph.value_info, *model.graph.output):
        for dim in one.type.tensor_type.shape.dim:
            if dim.dim_param in names and dim.dim_param:
                dim.dim_value = batch
            elif _is_open(dim):
                dim.ClearField("value")
    for one in inputs:
        if not one.type.tensor_type.HasField("shape") or any(map(_is_open, one.type.tensor_type.shape.dim)):
            fact = "has an open size beside the batch, so nobody knows what the values take"
            raise GraphError(f"{place}: {one.name}", fact, remedy="export the network with one fixed size of its input")


def _is_open(dim: onnx.TensorShapeProto.Dimension) -> bool:
    return not dim.HasField("dim_value") or dim.dim_value < 0


class _Reading:
    """One file on its way to a computation."""

    def __init__(self, place: str, model: onnx.ModelProto, sizes: dict[str, _Size], *, keeps_inputs: bool) -> None:
        graph = model.graph
        self.place, self.nodes, self.sizes, self.fuses = place, steps(model), sizes, _is_to_be_fused(model)
        stored = {one.name for one in (*graph.initializer, *graph.sparse_initializer)}
        self.weights = {one.name: tuple(one.dims) for one in graph.initializer}
        self.given = [one.name for one in graph.input if one.name not in stored]
        self.wanted = {one.name for one in graph.output}
        self.outside = stored | {name for node in graph.node if node.op_type == "Constant" for name in node.output}
        self.outside |= set() if keeps_inputs else set(self.given)
        self.indices: dict[str, int] = {}
        self.values: list[Value] = []
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def computation(self) -> Computation:
        for name in self.given:
            if name not in self.outside:
                self._add(name, name, is_input=True)
        operators = tuple(map(self._operator, self.nodes))
        return Computation(Path(self.place).stem, tuple(self.values), operators)

    def _operator(self, node: onnx.NodeProto) -> Operator:
        place = f"{self.place}: {called(node)}"
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise GraphError(place, "runs a graph of its own", remedy="export the network without control flow")
        read = [name for name in node.input if name and name not in self.outside]
        missing = [name for name in read if name not in self.indices]
        if missing:
            raise GraphError(place, f"reads {missing[0]!r}, which nobody made before", remedy="sort the file's nodes")
        inputs = tuple(dict.fromkeys(self.indices[name] for name in read))
        first, made = next(iter(node.input), ""), [name for name in node.output if name]
        shares = bool(first) and not set(made) & self.wanted
        view = shares and (node.op_type in VIEWS or self._is_fused(node))
        costs = not view or (node.op_type != DEQUANTIZE and any(self.values[one].size_bytes for one in inputs))
        costs = costs and not (self.fuses and node.op_type == DEQUANTIZE and not read)
        outputs = tuple(self._add(place, name, costs=costs) for name in made)
        overwritten = self.indices[first] if shares and node.op_type in IN_PLACE and first in read else None
        if overwritten is not None and not self._is_free(overwritten, outputs[0]):
            overwritten = None
        return Operator(called(node), inputs, outputs, overwritten, 0, view and bool(inputs), self._kind(node))

    def _is_fused(self, node: onnx.NodeProto) -> bool:
        """Whether a quantizer is part of the kernel before or after it, so that what it gives lies nowhere else."""
        if not self.fuses:
            return False
        return node.op_type == DEQUANTIZE or (node.op_type == QUANTIZE and self._integers(node.input[0]) is not None)

    def _integers(self, name: str) -> str | None:
        """The integers that a value is at once put into, by its one reader or an activation before that."""
        readers = self.readers.get(name, []) if self.fuses else []
        if len(readers) != 1 or name in self.wanted or name in self.given:
            return None
        (reader,) = readers
        if reader.op_type == QUANTIZE and reader.input[0] == name:
            integers: str = reader.output[0]
            return integers
        return self._integers(reader.output[0]) if reader.op_type in IN_PLACE and reader.input[0] == name else None

    def _is_free(self, value: int, output: int) -> bool:
        """Whether a value may be overwritten: it is not the caller's, and as large as the output."""
        given = self.values[value]
        return not given.is_input and not given.is_output and given.size_bytes == self.values[output].size_bytes

    def _add(self, place: str, name: str, *, is_input: bool = False, costs: bool = True) -> int:
        """A value; one that only calls something else what lies outside costs nothing."""
        size = self.sizes.get(self._integers(name) or name, _Size(0, is_known=False))
        if not size.is_known:
            fact = f"{name!r} has no size that is known before a run"
            raise GraphError(place, fact, remedy="read what microjoule.deploy.onnx_order_run.optimize_onnx writes")
        self.indices[name] = len(self.values)
        self.values.append(Value(name, size.bytes if costs else 0, is_input, name in self.wanted))
        return self.indices[name]

    def _kind(self, node: onnx.NodeProto) -> str:
        groups = [one.i for one in node.attribute if one.name == "group"]
        shape = self.weights.get(node.input[1], ()) if node.op_type == "Conv" and len(node.input) > 1 else ()
        if groups and groups[0] > 1 and shape[1:2] == (1,):
            return "depthwise"
        return WORDS.get(node.op_type, node.op_type.lower())
