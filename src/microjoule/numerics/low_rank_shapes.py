"""Shapes and multiply-accumulates of a weight's low-rank forms: functions of sizes alone.

A layer's products are its weights times the places at which they are used. A first factor 1 x 1 is used at each place
of the input, a last one at each of the output; kh x 1 at the rows of the output and the columns of the input. With a
stride of 1 and sizes kept, the spatial form has r (in kh + out kw) products a place, so that it breaks even at

    r = in out kh kw / (in kh + out kw).

Source: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866, section 3.1; Kim et al. 2016,
https://arxiv.org/abs/1511.06530, section 3.1.
"""

from bisect import bisect_right
from math import prod
from typing import Literal

from microjoule.errors import SettingError

Method = Literal["spatial", "input", "output", "tucker"]

METHODS: tuple[Method, ...] = ("spatial", "input", "output", "tucker")

Rank = int | tuple[int, int]
"""A number of channels between factors; for tucker also the pair of those after the first and before the last one."""

Shape = tuple[int, ...]


def has_form(shape: Shape, method: Method) -> bool:
    """Whether a weight can have a form: all can but the spatial one, which is of two axes.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
    """
    return method != "spatial" or len(shape) == 4


def separated(shape: Shape, method: Method) -> tuple[int, int, int]:
    """A weight's shape as (out, a, b): a is what its first factor reads, b the size of what follows' kernel.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.

    Raises:
        SettingError: for the spatial form of what has no two kernel axes.
    """
    out, channels, *kernel = shape
    if not has_form(shape, method):
        raise SettingError("method", f"is spatial for a weight of shape {shape}", remedy="give output, input or tucker")
    if method == "spatial":
        return out, channels * kernel[0], kernel[1]
    return (out, channels * prod(kernel), 1) if method == "output" else (out, channels, prod(kernel))


def full_rank(shape: Shape, method: Method) -> int:
    """The rank with which nothing is lost; for tucker the larger one of the two.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.

    Raises:
        SettingError: as `separated`.
    """
    if method == "tucker":
        return max(full_tucker_ranks(shape))
    out, a, b = separated(shape, method)
    return min(a, out * b)


def full_tucker_ranks(shape: Shape) -> tuple[int, int]:
    """The ranks on the side of the inputs and of the outputs with which nothing is lost."""
    out, channels, *kernel = shape
    return min(channels, out * prod(kernel)), min(out, channels * prod(kernel))


def check_rank(shape: Shape, method: Method, rank: Rank, *, place: str = "rank") -> Rank:
    """The full rank, one number or two as `rank` is.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
        rank: the channels between factors.
        place: what to call it in an error.

    Raises:
        SettingError: for a rank out of range, two of a form of two factors, or a form that the weight cannot have.
    """
    full = full_tucker_ranks(shape) if isinstance(rank, tuple) else full_rank(shape, method)
    if isinstance(rank, tuple) and method != "tucker":
        raise SettingError(place, f"is {rank} for the form {method}", remedy="give one number")
    most, given = (one if isinstance(one, tuple) else (one,) for one in (full, rank))
    if not all(1 <= one <= limit for one, limit in zip(given, most, strict=True)):
        raise SettingError(place, f"is {rank} for a weight of shape {shape}", remedy=f"give 1 to {full}")
    return full


def tucker_ranks(shape: Shape, rank: Rank) -> tuple[int, int]:
    """Tucker's ranks on the side of the inputs and of the outputs.

    Args:
        shape: of the weight, (out, in, *kernel).
        rank: both; or that of the side with the larger full rank, the other one in proportion, rounded up.
    """
    if isinstance(rank, tuple):
        return rank
    inputs, outputs = full_tucker_ranks(shape)
    larger = max(inputs, outputs)
    return -(-rank * inputs // larger), -(-rank * outputs // larger)


def factor_shapes(shape: Shape, method: Method, rank: Rank) -> tuple[Shape, ...]:
    """The shapes of the factors, in the order in which they run.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
        rank: the channels between factors.
    """
    out, channels, *kernel = shape
    ones = (1,) * len(kernel)
    if method == "tucker":
        inputs, outputs = tucker_ranks(shape, rank)
        return (inputs, channels, *ones), (outputs, inputs, *kernel), (out, outputs, *ones)
    assert isinstance(rank, int)
    if method == "spatial":
        return (rank, channels, kernel[0], 1), (out, rank, 1, kernel[1])
    first, last = (kernel, ones) if method == "output" else (ones, kernel)
    return (rank, channels, *first), (out, rank, *last)


def factor_places(method: Method, inputs: Shape, outputs: Shape) -> tuple[int, ...]:
    """At how many places each factor's weights are used.

    Args:
        method: the form.
        inputs: the sizes of the layer's input, without samples and channels.
        outputs: those of its output.
    """
    last = prod(outputs)
    match method:
        case "spatial":
            return outputs[0] * inputs[1], last
        case "output":
            return last, last
        case "input":
            return prod(inputs), last
        case "tucker":
            return prod(inputs), last, last


def layer_macs(shape: Shape, outputs: Shape) -> int:
    """Products of the layer as it is, for one sample.

    Args:
        shape: of the weight, (out, in, *kernel).
        outputs: sizes of the output, without samples and channels.
    """
    return prod(shape) * prod(outputs)


def factor_macs(shape: Shape, method: Method, rank: Rank, inputs: Shape, outputs: Shape) -> int:
    """Products of all factors, for one sample.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
        rank: the channels between factors; 0 for none.
        inputs: the sizes of the layer's input, without samples and channels.
        outputs: those of its output.
    """
    pairs = zip(factor_shapes(shape, method, rank), factor_places(method, inputs, outputs), strict=True)
    return sum(prod(factor) * places for factor, places in pairs)


def largest_rank(shape: Shape, method: Method, macs: float, inputs: Shape, outputs: Shape) -> int:
    """The largest rank with at most so many products; 0 if even rank 1 has more.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
        macs: for one sample.
        inputs: the sizes of the layer's input, without samples and channels.
        outputs: those of its output.
    """
    ranks = range(1, full_rank(shape, method) + 1)
    return bisect_right(ranks, macs, key=lambda rank: factor_macs(shape, method, rank, inputs, outputs))


def break_even_rank(shape: Shape, method: Method, inputs: Shape, outputs: Shape) -> int:
    """The largest rank with fewer products than the layer as it is; 0 if there is none.

    Args:
        shape: of the weight, (out, in, *kernel).
        method: the form.
        inputs: the sizes of the layer's input, without samples and channels.
        outputs: those of its output.
    """
    return largest_rank(shape, method, layer_macs(shape, outputs) - 1, inputs, outputs)
