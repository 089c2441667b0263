"""Multiply-accumulates of operators, and the memory that a sequence of steps needs: functions of shapes alone.

One multiply-accumulate (MAC) is one product that is added to a sum. Additions of biases and operators that work on each
value by itself (activations, batch norms, additions) have none, as is usual, so that published counts can be compared.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import NamedTuple

Shape = tuple[int, ...]

FLOAT_BITS = 32
"""The width of a value that no quantizer stands on, if its type does not say otherwise."""

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""How many matrices of hidden by inputs a recurrent cell holds."""


def conv_macs(out: Shape, weight: Shape) -> int:
    """Of a convolution: each output value is a sum over the kernel and the input channels of its group.

    Args:
        out: (batch, out_channels, *space).
        weight: (out_channels, in_channels / groups, *kernel).
    """
    return prod(out) * prod(weight[1:])


def conv_transpose_macs(source: Shape, weight: Shape) -> int:
    """Of a transposed convolution: each input value goes to the kernel and the output channels of its group.

    Products that fall outside the output (padding) are counted, as usual.

    Args:
        source: (batch, in_channels, *space), what it reads.
        weight: (in_channels, out_channels / groups, *kernel).
    """
    return prod(source) * prod(weight[1:])


def matmul_macs(out: Shape, inner: int) -> int:
    """Of a matrix product or a linear layer: each output value is a sum of `inner` products."""
    return prod(out) * inner


def attention_macs(query: Shape, key: Shape, value: Shape) -> int:
    """Of scaled dot-product attention: scores of each query with each key, and sums of values weighted by them.

    Args:
        query: (*batch, queries, features).
        key: (*batch, keys, features).
        value: (*batch, keys, value features).
    """
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def recurrent_macs(cell: str, steps: int, weights: Sequence[Shape]) -> int:
    """Of a recurrent layer: each of its matrices is read once a step.

    Args:
        cell: "lstm", "gru" or "rnn".
        steps: sequence length times batch.
        weights: shapes of all its matrices, (gates * hidden, inputs) and, where it projects, (projected, hidden).
    """
    assert cell in GATES
    return steps * sum(prod(shape) for shape in weights if len(shape) == 2)


def packed_bytes(values: int, bits: int) -> int:
    """Bytes of a tensor whose values are packed without gaps; the last byte may be part empty."""
    return ceil(values * bits / 8)


class Lifetime(NamedTuple):
    """A buffer's size, and the first and last step at which it must be kept."""

    size_bytes: int
    first: int
    last: int


def peak_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """The most bytes that are live in any one step."""
    changes: dict[int, int] = {}
    for size_bytes, first, last in lifetimes:
        changes[first] = changes.get(first, 0) + size_bytes
        changes[last + 1] = changes.get(last + 1, 0) - size_bytes
    live = peak = 0
    for step in sorted(changes):
        live += changes[step]
        peak = max(peak, live)
    return peak
