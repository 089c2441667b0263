"""TensorFlow Lite files (.tflite): which tensors there are, and which operators read and write them.

The file is a flatbuffer. Only what decides about memory and order is read; weights stay where they are.

Source: the schema of TensorFlow Lite,
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from microjoule.deploy.flatbuffer import DamagedError, Flatbuffer, Table
from microjoule.errors import FileError, GraphError
from microjoule.formats.bounded_file import read_file

IDENTIFIER = b"TFL3"
OPTIONAL = -1
"""What stands in a list of inputs for one that is left out."""

BITS = {
    **dict.fromkeys((0, 2, 15), 32),  # float, and integers with and without a sign
    **dict.fromkeys((1, 16, 7, 18), 16),
    **dict.fromkeys((3, 9, 6, 21, 22), 8),  # bool takes a byte
    **dict.fromkeys((4, 10, 8, 12), 64),  # a complex number is two of 32
    **dict.fromkeys((17, 20), 4),
    11: 128,
    19: 2,
}
"""Bits of an element by its type's number; text and handles have no size."""

UINT8 = 3
INT8 = 9
NAMED = (
    "0 add, 1 average_pool, 2 concat, 3 conv, 4 depthwise, 6 dequantize, 9 dense, 14 sigmoid, 17 max_pool, 18 "
    "mul, 19 relu, 21 relu6, 22 reshape, 23 resize_bilinear, 25 softmax, 28 tanh, 34 pad, 36 gather, 39 "
    "transpose, 40 mean, 41 sub, 42 div, 43 squeeze, 45 strided_slice, 47 exp, 49 split, 53 cast, 54 prelu, 55 "
    "maximum, 57 minimum, 59 neg, 60 pad_value, 65 slice, 67 transpose_conv, 70 expand_dims, 97 resize_nearest, "
    "98 leaky_relu, 102 split_sizes, 114 quantize, 117 hard_swish, 126 batch_matmul, 150 gelu, 151 update_slice, "
    "159 bitcast"
)
WORDS = {int(number): word for number, word in (entry.split() for entry in NAMED.split(", "))}
"""What we call an operator by its number; others are called by the number itself."""

LEAST_INPUTS = {"conv": 2, **dict.fromkeys(("reshape", "squeeze", "expand_dims", "bitcast", "concat", "softmax"), 1)}
LEAST_INPUTS |= dict.fromkeys(("add", "sub", "mul", "div", "update_slice"), 1)
"""What operators need whose memory depends on their inputs; these have an output, too."""

CUSTOM = 32
DEPENDENCIES = "model_control_dependencies"
"""The name under which a file names operators by their index."""


@dataclass(frozen=True, slots=True)
class LiteRtTensor:
    """A tensor; `is_constant` if its values are in the file, `is_state` if they last from run to run."""

    name: str
    shape: tuple[int, ...]
    bits: int
    type: int
    is_constant: bool
    is_state: bool

    @property
    def size_bytes(self) -> int:
        """What it takes, the last byte filled up."""
        return (prod(self.shape) * self.bits + 7) // 8


@dataclass(frozen=True, slots=True)
class LiteRtOperator:
    """An operator; tensors by their index.

    Args:
        kind: a word.
        inputs: without those that are left out.
        outputs: as in the file.
        kernel: for a convolution, width and height of stride and dilation (1, 1, 1, 1); else empty.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LiteRtModel:
    """What a file holds.

    Args:
        place: the path.
        content: the whole file.
        tensors: as in the file.
        inputs: indices of tensors that the caller gives.
        outputs: indices of tensors that the caller gets.
        operators: in the file's order.
        slots: where in the file the distance to each operator stands.
        names_operators: whether something in the file names operators by their index.
    """

    place: str
    content: bytes
    tensors: tuple[LiteRtTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[LiteRtOperator, ...]
    slots: range
    names_operators: bool


def read_litert(path: str | Path) -> LiteRtModel:
    """A .tflite file.

    Raises:
        FileError: if there is none, or it is damaged, or another kind of file.
        GraphError: if it holds several graphs, or a tensor without a size.
    """
    place, content = str(path), read_file(path)
    try:
        return _model(place, content)
    except DamagedError as error:
        fact = f"is no TensorFlow Lite file, or a damaged one: {error}"
        raise FileError(place, fact, remedy="convert the network again, or give the path of a .tflite file") from error


def _model(place: str, content: bytes) -> LiteRtModel:
    root = Flatbuffer(content).root(IDENTIFIER)
    graphs = root.tables(2)
    if len(graphs) != 1:
        fact = f"holds {len(graphs)} graphs; those that operators call have memory of their own"
        raise GraphError(place, fact, remedy="convert the network without control flow and with one signature")
    graph = graphs[0]
    full = [_is_full(buffer) for buffer in root.tables(4)]
    tensors = tuple(_tensor(place, index, table, full) for index, table in enumerate(graph.tables(0)))
    words = [_word(code) for code in root.tables(1)]
    operators = tuple(_operator(table, words) for table in graph.tables(3))
    inputs, outputs = graph.numbers(1), graph.numbers(2)
    named = [*inputs, *outputs, *(one for operator in operators for one in (*operator.inputs, *operator.outputs))]
    if any(not 0 <= one < len(tensors) for one in named):
        raise DamagedError(f"tensor {max(named)} or {min(named)} of {len(tensors)} is named")
    if not operators:
        raise DamagedError("it has no operators")
    names_operators = any(entry.text(0) == DEPENDENCIES for entry in root.tables(6))
    return LiteRtModel(place, content, tensors, inputs, outputs, operators, graph.slots(3), names_operators)


def _is_full(buffer: Table) -> bool:
    """Whether there is data, be it behind the flatbuffer as in files over 2 GiB."""
    return buffer.count(0, 1) > 0 or buffer.number(1, "Q") > 1


def _tensor(place: str, index: int, table: Table, full: list[bool]) -> LiteRtTensor:
    name, shape, kind = table.text(3), table.numbers(0), table.number(1, "b")
    buffer = table.number(2, "I")
    if buffer >= len(full):
        raise DamagedError(f"buffer {buffer} of {len(full)} is named")
    constant = full[buffer]
    if any(size < 0 for size in shape) or (kind not in BITS and not constant):
        fact = f"tensor {name or index!r} of shape {list(shape)} and type {kind} has no size that is known before a run"
        raise GraphError(place, fact, remedy="convert the network with numbers and fixed shapes")
    return LiteRtTensor(name or f"tensor {index}", shape, BITS.get(kind, 0), kind, constant, bool(table.number(5, "B")))


def _word(code: Table) -> str:
    number = max(code.number(0, "b"), code.number(3, "i"))  # old files have the number in 8 bits alone
    return code.text(1) or "custom" if number == CUSTOM else WORDS.get(number, f"operator_{number}")


def _operator(table: Table, words: list[str]) -> LiteRtOperator:
    index = table.number(0, "I")
    if index >= len(words):
        raise DamagedError(f"kind {index} of {len(words)} is named")
    inputs = tuple(one for one in table.numbers(1) if one != OPTIONAL)
    outputs = tuple(one for one in table.numbers(2) if one != OPTIONAL)
    least = LEAST_INPUTS.get(words[index], 0)
    if len(inputs) < least or (least and not outputs):
        raise DamagedError(f"a {words[index]} has {len(inputs)} inputs and {len(outputs)} outputs")
    options, kernel = table.table(4), (1, 1, 1, 1)
    if words[index] == "conv" and options is not None:
        stride = options.number(1, "i"), options.number(2, "i")
        kernel = (*stride, options.number(4, "i", 1), options.number(5, "i", 1))
    return LiteRtOperator(words[index], inputs, outputs, kernel if words[index] == "conv" else ())
