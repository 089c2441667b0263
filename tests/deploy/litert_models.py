"""Small .tflite files, written field by field."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np

ADD, CONCAT, CONV, DEPTHWISE, LOGISTIC, RELU, RESHAPE, SOFTMAX, MUL, SUB, DIV, SQUEEZE, SPLIT = (
    *(0, 2, 3, 4, 14, 19, 22, 25, 18, 41, 42, 43, 49),
)
OPTIONS = {CONV: 1, DEPTHWISE: 2, CONCAT: 10, ADD: 11, SOFTMAX: 9, RESHAPE: 17, SPLIT: 35}
"""The number of an operator's kind of options."""

FLOAT, INT32 = 0, 2


@dataclass(frozen=True)
class T:
    """A tensor; with data it is a constant, whose data may be behind the flatbuffer; a grid is a scale and a zero."""

    shape: tuple[int, ...]
    data: np.ndarray | None = None
    type: int = FLOAT
    name: str | None = None
    state: bool = False
    behind: bool = False
    grid: tuple[float, int] | None = None


@dataclass(frozen=True)
class Op:
    """An operator; options as {field: (kind, value)}."""

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: dict[int, tuple[str, int]] = field(default_factory=dict)
    custom: str = ""


def litert_file(
    tensors: Sequence[T],
    operators: Sequence[Op],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    graphs: int = 1,
    metadata: Sequence[str] = (),
) -> bytes:
    """The bytes of a file."""
    b = flatbuffers.Builder(1024)
    buffers = [table(b, {})]
    kept = []
    for tensor in tensors:
        kept.append(0 if tensor.data is None and not tensor.behind else len(buffers))
        if tensor.behind:
            buffers.append(table(b, {1: ("Uint64", 4096), 2: ("Uint64", 8)}))
        if tensor.data is not None:
            buffers.append(table(b, {0: ("offset", b.CreateNumpyVector(np.frombuffer(tensor.data.tobytes(), "u1")))}))
    graph = [_graph(b, tensors, kept, operators, inputs, outputs) for _ in range(graphs)]
    codes = [
        table(
            b,
            {0: ("Int8", min(op.code, 127)), 3: ("Int32", op.code), 2: ("Int32", 1)}
            | ({1: ("offset", b.CreateString(op.custom))} if op.custom else {}),
        )
        for op in operators
    ]
    named = [table(b, {0: ("offset", b.CreateString(name)), 1: ("Uint32", 0)}) for name in metadata]
    lists = [vector(b, entries) for entries in (codes, graph, buffers, named)]
    model = table(b, {0: ("Uint32", 3), **{slot: ("offset", at) for slot, at in zip((1, 2, 4, 6), lists, strict=True)}})
    b.Finish(model, file_identifier=b"TFL3")
    return bytes(b.Output())


def _graph(b, tensors, kept, operators, inputs, outputs):
    made = []
    for index, (tensor, buffer) in enumerate(zip(tensors, kept, strict=True)):
        name, shape = b.CreateString(f"t{index}" if tensor.name is None else tensor.name), numbers(b, tensor.shape)
        fields = {0: ("offset", shape), 1: ("Int8", tensor.type), 2: ("Uint32", buffer), 3: ("offset", name)}
        if tensor.grid is not None:
            scale, zero = (
                b.CreateNumpyVector(np.array([x], t)) for x, t in zip(tensor.grid, ("<f4", "<i8"), strict=True)
            )
            fields[4] = ("offset", table(b, {2: ("offset", scale), 3: ("offset", zero)}))
        made.append(table(b, fields | ({5: ("Bool", True)} if tensor.state else {})))
    steps = []
    for index, op in enumerate(operators):
        ins, outs, options = numbers(b, op.inputs), numbers(b, op.outputs), table(b, op.options)
        fields = {0: ("Uint32", index), 1: ("offset", ins), 2: ("offset", outs)}
        if op.options:
            fields |= {3: ("Uint8", OPTIONS[op.code]), 4: ("offset", options)}
        steps.append(table(b, fields))
    lists = vector(b, made), numbers(b, inputs), numbers(b, outputs), vector(b, steps)
    return table(b, {slot: ("offset", at) for slot, at in enumerate(lists)})


def table(b, fields):
    b.StartObject(max(fields, default=0) + 1)
    for slot, (kind, value) in fields.items():
        if kind == "offset":
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(b, f"Prepend{kind}Slot")(slot, value, 0)
    return b.EndObject()


def vector(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def numbers(b, values):
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependInt32(int(value))
    return b.EndVector()


def conv_options(stride: int = 1, dilation: int = 1) -> dict[int, tuple[str, int]]:
    fields = ("Int8", 0), ("Int32", stride), ("Int32", stride), ("Int8", 0), ("Int32", dilation), ("Int32", dilation)
    return dict(enumerate(fields))
