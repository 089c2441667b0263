"""SwiftNet for ONNX Runtime: a .tflite file of 8-bit integers as an ONNX model of reals, channels first.

Weights are what their integers stand for. A kernel of integers cannot give more than its output's range, and in
SwiftNet that range is its activation, ReLU6, so a Clip to the range follows what computes sums. What is left out is the
rounding to the range's 256 points; with `rounds` it is there, and the model gives what the integers give, but where a
sum lies in the middle between two points. That is how the translation is checked.

Only what SwiftNet needs is there: one scale a tensor, values of 8 bits, and the kinds of operators in `KINDS`.

Source: the schema of TensorFlow Lite,
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from microjoule.deploy.flatbuffer import Flatbuffer, Table
from microjoule.deploy.litert_file import IDENTIFIER, UINT8, LiteRtModel, LiteRtOperator, read_litert
from microjoule.errors import GraphError
from microjoule.records.files import write_atomically

OPSET, IR_VERSION = 20, 10
FLOAT, INT32 = 0, 2
STORED = {FLOAT: "<f4", INT32: "<i4", UINT8: "u1"}
"""What a tensor's bytes are, by its type's number."""

ONE = 0x3F800000
"""The bits of the real 1."""

SAME = 0
"""The number of the padding that makes an output of input / stride points, rounded up."""

ACTIVATIONS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""What an activation that is part of an operator lets pass: none, ReLU, ReLU from -1 to 1, ReLU6."""

CHANNELS_FIRST = {0: 0, 1: 2, 2: 3, 3: 1}
"""Where an axis of (batch, height, width, channels) is in (batch, channels, height, width)."""

# The equations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grid:
    """What integers from 0 to 255 stand for: scale x (integer - zero)."""

    scale: float
    zero: int

    def values(self, integers: np.ndarray) -> np.ndarray:
        """The reals, in any shape."""
        return ((integers.astype(np.float64) - self.zero) * self.scale).astype(np.float32)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest."""
        return -self.zero * self.scale, (255 - self.zero) * self.scale


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """How many points are laid before and after an axis, so that an output has size / stride points, rounded up.

    An odd number has one more after than before.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def within(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """What lies in both ranges."""
    return max(first[0], second[0]), min(first[1], second[1])


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(batch, channels, height, width) of (batch, height, width, channels); another number of axes stays."""
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


# The translation ------------------------------------------------------------------------------------------------------


def to_onnx(path: str | Path, *, rounds: bool = False, gives: Sequence[int] = ()) -> onnx.ModelProto:
    """A .tflite file as an ONNX model, one sample at a time.

    Args:
        path: of the file.
        rounds: with values rounded to the points that the file's integers have.
        gives: tensors that the caller gets, by their index in the file; without any the file's outputs.

    Raises:
        FileError: if there is no such file, or it is damaged.
        GraphError: if it holds what is not translated.
    """
    return _Translation(read_litert(path), rounds=rounds).model(gives)


def grid_of(path: str | Path, tensor: int) -> Grid:
    """What the integers of a tensor of a .tflite file stand for.

    Args:
        path: of the file.
        tensor: by its index.
    """
    return _Translation(read_litert(path), rounds=False).grid(tensor)


def write_giving(path: str | Path, tensor: int, target: str | Path) -> Path:
    """Write a .tflite file of one output again, with another tensor as what the caller gets.

    Args:
        path: of the file.
        tensor: by its index.
        target: where to write.
    """
    model = read_litert(path)
    if len(model.outputs) != 1:
        raise GraphError(model.place, f"has {len(model.outputs)} outputs", remedy="give a file with one")
    content = bytearray(model.content)
    slot = Flatbuffer(model.content).root(IDENTIFIER).tables(2)[0].slots(2)[0]
    struct.pack_into("<i", content, slot, tensor)
    return write_atomically(target, bytes(content))


class _Translation:
    """One file on its way to a model."""

    def __init__(self, source: LiteRtModel, *, rounds: bool) -> None:
        root = Flatbuffer(source.content).root(IDENTIFIER)
        graph = root.tables(2)[0]
        self.source, self.rounds = source, rounds
        self.tables, self.steps, self.buffers = graph.tables(0), graph.tables(3), root.tables(4)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def model(self, gives: Sequence[int]) -> onnx.ModelProto:
        for operator, table in zip(self.source.operators, self.steps, strict=True):
            if operator.kind not in KINDS:
                fact = f"computes {operator.kind}, which is not translated"
                raise GraphError(f"{self.source.place}: {self.name(operator.outputs[0])}", fact, remedy="translate it")
            options = table.table(4)
            KINDS[operator.kind](self, operator, options if options is not None else table)
        outputs = tuple(gives) or self.source.outputs
        made = [one for operator in self.source.operators for one in operator.outputs]
        graph = helper.make_graph(
            self.nodes,
            Path(self.source.place).stem,
            [self._described(one) for one in self.source.inputs],
            [self._described(one) for one in outputs],
            self.constants,
            value_info=[self._described(one) for one in made if one not in outputs],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    # What the file holds

    def grid(self, tensor: int) -> Grid:
        """What a tensor's integers stand for."""
        found = self.tables[tensor].table(4)
        scales = np.frombuffer(found.raw(2, 4) if found is not None else b"", "<f4")
        zeros = np.frombuffer(found.raw(3, 8) if found is not None else b"", "<i8")
        if len(scales) != 1 or len(zeros) != 1:
            fact = f"has {len(scales)} scales and {len(zeros)} zeros"
            place = f"{self.source.place}: {self.source.tensors[tensor].name}"
            raise GraphError(place, fact, remedy="give a file with one scale a tensor")
        return Grid(float(scales[0]), int(zeros[0]))

    def stored(self, tensor: int) -> np.ndarray:
        """The reals of a constant, in the file's shape."""
        entry = self.source.tensors[tensor]
        data = self.buffers[self.tables[tensor].number(2, "I")].raw(0, 1)
        values = np.frombuffer(data, STORED[entry.type]).reshape(entry.shape)
        return values if entry.type == FLOAT else self.grid(tensor).values(values)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Of a tensor, channels first."""
        return channels_first(self.source.tensors[tensor].shape)

    def name(self, tensor: int) -> str:
        """Of a tensor."""
        return self.source.tensors[tensor].name

    # What is written

    def constant(self, name: str, values: np.ndarray | np.generic) -> str:
        """A constant, by its name; written once."""
        if all(one.name != name for one in self.constants):
            self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def write(self, kind: str, inputs: list[str], made: int, **attributes: Any) -> None:
        """A node that gives some of what it reads, and nothing new."""
        self.nodes.append(helper.make_node(kind, inputs, [self.name(made)], self.name(made), **attributes))

    def write_sum(
        self, kind: str, inputs: list[str], made: int, *, activation: int | None = None, **attributes: Any
    ) -> None:
        """A node whose outputs are new numbers: clipped if there can be an activation, and rounded if wanted."""
        name, grid = self.name(made), self.grid(made)
        steps: list[tuple[str, list[str], dict[str, Any]]] = [(kind, inputs, attributes)]
        if activation is not None:
            if activation not in ACTIVATIONS:
                raise GraphError(f"{self.source.place}: {name}", f"has activation {activation}", remedy="translate it")
            low, high = within(grid.range, ACTIVATIONS[activation])
            bounds = self.constant(f"{name}/low", np.float32(low)), self.constant(f"{name}/high", np.float32(high))
            steps.append(("Clip", [*bounds], {}))
        if self.rounds:
            points = (
                self.constant(f"{name}/scale", np.float32(grid.scale)),
                self.constant(f"{name}/zero", np.uint8(grid.zero)),
            )
            steps += [("QuantizeLinear", [*points], {}), ("DequantizeLinear", [*points], {})]
        before: list[str] = []
        for index, (step, others, settings) in enumerate(steps):
            output = name if index == len(steps) - 1 else f"{name}/{step}"
            self.nodes.append(helper.make_node(step, [*before, *others], [output], output, **settings))
            before = [output]

    def _described(self, tensor: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(self.name(tensor), TensorProto.FLOAT, self.shape(tensor))


# Each kind of operator ------------------------------------------------------------------------------------------------


def _convolution(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    """Weights (out, height, width, in), or (1, height, width, channels x outputs of each) where channels are apart."""
    given, weight, bias = operator.inputs
    apart = operator.kind == "depthwise"
    stored = into.stored(weight).transpose((3, 0, 1, 2) if apart else (0, 3, 1, 2))
    activation, dilation = (4, 5) if apart else (3, 4)
    stride = options.number(2, "i"), options.number(1, "i")
    dilations = options.number(dilation + 1, "i", 1), options.number(dilation, "i", 1)
    into.write_sum(
        "Conv",
        [into.name(given), into.constant(into.name(weight), stored), into.constant(into.name(bias), into.stored(bias))],
        operator.outputs[0],
        activation=options.number(activation, "b"),
        group=into.shape(given)[1] if apart else 1,
        strides=stride,
        dilations=dilations,
        pads=_pads(into.shape(given)[2:], stored.shape[2:], stride, dilations, options.number(0, "b")),
    )


def _pool(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    given, made = operator.inputs[0], operator.outputs[0]
    stride, kernel = [(options.number(first + 1, "i"), options.number(first, "i")) for first in (1, 3)]
    pads = _pads(into.shape(given)[2:], kernel, stride, (1, 1), options.number(0, "b"))
    settings: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    if operator.kind == "max_pool":
        into.write("MaxPool", [into.name(given)], made, **settings)
    else:
        into.write_sum("AveragePool", [into.name(given)], made, **settings)


def _pads(
    sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, int], dilations: tuple[int, int], kind: int
) -> list[int]:
    """Points before both axes, then after both."""
    each = [
        same_padding(*axis) if kind == SAME else (0, 0) for axis in zip(sizes, kernel, stride, dilations, strict=True)
    ]
    return [before for before, _ in each] + [after for _, after in each]


def _concatenation(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    made, axis = operator.outputs[0], options.number(0, "i")
    rank = len(into.shape(made))
    axis = CHANNELS_FIRST[axis % rank] if rank == 4 else axis % rank
    if len({into.grid(one) for one in (*operator.inputs, made)}) > 1:
        place = f"{into.source.place}: {into.name(made)}"
        raise GraphError(place, "changes scales", remedy="translate it as a sum")
    into.write("Concat", [into.name(one) for one in operator.inputs], made, axis=axis)


def _addition(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    names = [into.name(one) for one in operator.inputs]
    into.write_sum("Add", names, operator.outputs[0], activation=options.number(0, "b"))


def _dense(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    """Weights (out, in); what it reads has one point, so that the order of axes does not matter."""
    given, weight, bias = operator.inputs
    made = operator.outputs[0]
    if math.prod(into.shape(given)[2:]) > 1:
        place = f"{into.source.place}: {into.name(made)}"
        raise GraphError(place, f"reads {list(into.shape(given))}", remedy="give a file that pools before")
    flat = f"{into.name(made)}/flat"
    into.nodes.append(helper.make_node("Flatten", [into.name(given)], [flat], flat))
    constants = [into.constant(into.name(one), into.stored(one)) for one in (weight, bias)]
    into.write_sum("Gemm", [flat, *constants], made, activation=options.number(0, "b"), transB=1)


def _softmax(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    if options.number(0, "I") != ONE:
        raise GraphError(into.source.place, "has a softmax with a factor", remedy="multiply before it")
    into.write_sum("Softmax", [into.name(operator.inputs[0])], operator.outputs[0], axis=-1)


def _split(into: _Translation, operator: LiteRtOperator, options: Table) -> None:
    """Into one part, which is all of it."""
    if len(operator.outputs) != 1 or options.number(0, "i") != 1:
        raise GraphError(into.source.place, f"splits into {len(operator.outputs)} parts", remedy="translate it")
    into.write("Identity", [into.name(operator.inputs[-1])], operator.outputs[0])


KINDS: dict[str, Callable[[_Translation, LiteRtOperator, Table], None]] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "max_pool": _pool,
    "average_pool": _pool,
    "concat": _concatenation,
    "add": _addition,
    "dense": _dense,
    "softmax": _softmax,
    "split": _split,
}
"""How each kind of operator is written."""
