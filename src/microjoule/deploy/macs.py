"""Multiply-accumulates of ONNX operators, those of ONNX Runtime's own domain included, from their shapes."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import onnx

Shape = tuple[int, ...]

INTEGER = frozenset(
    (
        *("QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"),
        *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"),
    )
)
"""Operators that multiply integers."""

NO_KERNEL_FOR = frozenset(
    ("ConvTranspose", "LSTM", "GRU", "RNN", "Einsum", "MultiHeadAttention", "GroupQueryAttention", "MatMulNBits")
)
"""Operators that ONNX Runtime's CPU has for real numbers alone, or that no DequantizeLinear fuses with."""

WEIGHTS = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "MatMulNBits": 1}
"""Which input is the weight, where it is not the second."""


def weight_of(node: onnx.NodeProto) -> str:
    """The name of the second factor of a product; empty if it has none."""
    index = WEIGHTS.get(node.op_type, 1)
    return node.input[index] if len(node.input) > index else ""


def macs(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int | None:
    """How many multiply-accumulates an operator takes, or None if it is no product.

    Args:
        node: the operator.
        read: shapes of what it reads; weights that the runtime has packed may be missing, the first input is not.
        made: shapes of what it gives.
        stored: shapes of the stored tensors that it reads, by name.
    """
    counter = COUNTERS.get(node.op_type)
    if counter is None:
        return None
    return counter(node, read, made, stored) if read and made else 0


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _convolution(
    node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]
) -> int:
    return prod(made[0]) * prod(_weight(node, read, stored)[1:])


def _transposed(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int:
    del made
    return prod(read[0]) * prod(_weight(node, read, stored)[1:])


def _weight(node: onnx.NodeProto, read: Sequence[Shape], stored: Mapping[str, Shape]) -> Shape:
    known = stored.get(weight_of(node))
    return known if known is not None else read[WEIGHTS.get(node.op_type, 1)]


def _product(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int:
    del stored
    turned = _attribute(node, "transA", 0)
    return prod(made[0]) * read[0][-2 if turned and len(read[0]) > 1 else -1]


def _einsum(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int:
    """As many as there are values of all indices together, if there are two factors."""
    del made, stored
    terms = _attribute(node, "equation", b"").decode().replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, read, strict=False):
        letters = term.replace("...", "")
        spare = len(shape) - len(letters)
        names = list(term.replace("...", "\N{BULLET}"))
        at = names.index("\N{BULLET}") if "\N{BULLET}" in names else 0
        names = [*names[:at], *(f"dots{i}" for i in range(spare)), *names[at + ("..." in term) :]]
        for name, size in zip(names, shape, strict=False):
            sizes[name] = max(size, sizes.get(name, 1))
    return prod(sizes.values()) if len(terms) > 1 else 0


def _recurrent(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int:
    del made
    steps = prod(read[0][:2])
    matrices = [stored[name] if name in stored else read[i] for i, name in enumerate(node.input[1:3], 1)]
    return steps * sum(map(prod, matrices))


def _attention(node: onnx.NodeProto, read: Sequence[Shape], made: Sequence[Shape], stored: Mapping[str, Shape]) -> int:
    """Scores and their product with the values, (batch, positions, width) each."""
    del node, made, stored
    query, key = read[0], read[1] if len(read) > 1 else read[0]
    return 2 * prod(query) * key[-2]


Counter = Callable[[onnx.NodeProto, Sequence[Shape], Sequence[Shape], Mapping[str, Shape]], int]

COUNTERS: dict[str, Counter] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"), _product),
    **dict.fromkeys(("DynamicQuantizeMatMul", "Gemm", "FusedGemm", "QGemm", "MatMulNBits"), _product),
    "Einsum": _einsum,
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _attention),
}
"""By operator."""
