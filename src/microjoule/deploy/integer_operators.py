"""What each operator computes on integers, as targets do it: by the operator's name, (step) -> value."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from microjoule.deploy.activation_bounds import PASSING, integer_bounds
from microjoule.deploy.fixed_point import fixed_point, scaled
from microjoule.deploy.integer_layer import integer_layer
from microjoule.deploy.integer_sums import convolve, convolve_transposed, geometry, multiply
from microjoule.deploy.integer_values import Integers, Joined, Sums, Value, on_grid
from microjoule.graph.network import Network
from microjoule.graph.ops import Activation, Layer, arguments, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import quantize


@dataclass(frozen=True, slots=True)
class Step:
    """One node, with the values of those that it reads."""

    network: Network
    node: Node
    value_of: Callable[[Node], Any]

    @property
    def inputs(self) -> list[Any]:
        """The values that it reads, sizes and stored tensors left out."""
        return [self.value_of(node) for node in tensor_inputs(self.node)]

    def call(self, as_tensor: Callable[[Any], Any]) -> Any:
        """Call the operator on tensors in place of values."""
        fetched = map_arg((self.node.args, self.node.kwargs), self.value_of)
        args, kwargs = pytree.tree_map_only((Integers, Sums, Joined), as_tensor, fetched)
        target: Any = self.node.target
        return target(*args, **kwargs) if self.node.op == "call_function" else self.module()(*args, **kwargs)

    def module(self) -> torch.nn.Module:
        """The module that it calls."""
        return self.network.module.get_submodule(str(self.node.target))


def quantizer(step: Step) -> Integers:
    """A real input is rounded to the grid; a sum is scaled to it."""
    found = step.module()
    assert isinstance(found, Quantizer)
    value = step.value_of(step.node.all_input_nodes[0])
    if isinstance(value, Tensor):
        return Integers(quantize(value, found.affine) - found.affine.zero_point, found.affine)
    return on_grid(value, found.affine)


def layer(step: Step) -> Sums:
    """Convolution, transposed convolution and linear layer: sum of products, plus bias."""
    found = Layer.at(step.network.module, step.node)
    assert found is not None
    (x,) = step.inputs
    stored = integer_layer(found, x.affine.scale)
    zero_point = stored.affine.zero_point
    if zero_point.dim() == 1:
        shape = [1] * stored.weight.dim()
        shape[found.out_axis] = -1
        zero_point = zero_point.reshape(shape)
    weight = stored.weight - zero_point
    if found.kind == "linear":
        total = multiply(x.centred, weight)
        column: tuple[int, ...] = ()
    else:
        sums = convolve if found.kind == "conv" else convolve_transposed
        total = sums(x.centred, weight, geometry(found))
        column = (1,) * (total.dim() - 2)
    if stored.bias is not None:
        total += stored.bias.long().reshape(-1, *column)
    scale = stored.scale if stored.scale.dim() == 0 else stored.scale.reshape(-1, *column)
    return Sums(total, scale)


def add(step: Step) -> Sums:
    """Both inputs are scaled to a finer common grid and added there.

    The common scale is that of twice the coarser input, with as many further bits as 32 leave (20 for 8 bits).
    """
    a, b = step.inputs
    largest = 2 * torch.maximum(a.scale, b.scale)
    bits = 28 - max(a.affine.grid.bits, b.affine.grid.bits, 8)
    total = sum(scaled(v.centred.long() << bits, fixed_point(v.scale / largest)) for v in (a, b))
    assert isinstance(total, Tensor)
    return Sums(total, largest / 2**bits)


def mul(step: Step) -> Sums:
    """The product of two values is on the product of their scales."""
    a, b = step.inputs
    return Sums(a.centred.long() * b.centred.long(), a.scale * b.scale)


def concat(step: Step) -> Joined:
    """Each part goes to the grid of the result."""
    dim = arguments(step.node)["dim"]
    return Joined(tuple(step.value_of(part) for part in arguments(step.node)["tensors"]), int(dim))


def average(step: Step) -> Sums:
    """The sum over each window, whose size goes into the scale; windows at a border may be smaller."""
    (x,) = step.inputs
    means = step.call(lambda value: value.centred.double())
    counts = window_sizes(step.node, x.centred.shape, means.shape)
    return Sums(torch.round(means * counts).long(), x.scale / counts)


def window_sizes(node: Node, size: torch.Size, made: torch.Size) -> Tensor:
    """How many values each mean is of, in float64: a number, or one for each place of the output."""
    args = arguments(node)
    if "dim" in args:
        dims = args["dim"] or range(len(size))
        return torch.tensor(float(math.prod(size[dim] for dim in dims)), dtype=torch.float64)
    if args.get("divisor_override"):
        return torch.tensor(float(args["divisor_override"]), dtype=torch.float64)
    axes = len(size) - 2
    counts = torch.ones(())
    for axis in range(axes):
        along = _along(args, axis, size[2 + axis], made[2 + axis])
        counts = counts.unsqueeze(-1) * torch.tensor(along)
    return counts.double()


def _along(args: dict[str, Any], axis: int, size: int, made: int) -> list[float]:
    """The windows' lengths along one axis."""
    if "output_size" in args:
        return [float(-(-(i + 1) * size // made) - i * size // made) for i in range(made)]
    kernel, padding = _on_axis(args["kernel_size"], axis), _on_axis(args["padding"], axis)
    stride = _on_axis(args["stride"] or args["kernel_size"], axis)
    beyond = padding if args["count_include_pad"] else 0
    starts = [i * stride - padding for i in range(made)]
    return [float(min(start + kernel, size + beyond) - max(start, -beyond)) for start in starts]


def _on_axis(values: Any, axis: int) -> int:
    return int(values if isinstance(values, int) else values[axis if len(values) > 1 else 0])


def clamp(step: Step) -> Value:
    """On integers at once, on a sum when it has its grid."""
    found = Activation.at(step.network.module, step.node)
    assert found is not None
    (x,) = step.inputs
    if isinstance(x, Sums):
        return x.clamped(found.low, found.high)
    assert isinstance(x, Integers)
    bounds = integer_bounds(found.low, found.high, x.affine)
    if bounds is None:
        return x
    q = torch.minimum(torch.maximum(x.stored, bounds.low), bounds.high)
    return Integers((q - x.affine.zero_point).to(torch.int32), x.affine)


def passing(step: Step) -> Any:
    """Moved, not computed: torch's own operator on the centred integers, as float32, which is exact for 17 bits."""
    grids = [value.affine for value in step.inputs if isinstance(value, Integers)]
    moved = step.call(lambda value: value.centred.float())
    return pytree.tree_map_only(Tensor, lambda t: Integers(t.to(torch.int32), grids[0]), moved)


def table(step: Step) -> Tensor:
    """A function of one integer: a target looks it up, with a table of the grid's values on the output's grid."""
    result: Tensor = step.call(lambda value: value.reals())
    return result


def size(step: Step) -> Any:
    """Arithmetic on shapes."""
    return step.call(lambda value: value.centred)


OPERATORS: dict[str, Callable[[Step], Any]] = {
    "quantizer": quantizer,
    "add": add,
    "mul": mul,
    "concat": concat,
    **dict.fromkeys(("conv", "conv_transpose", "linear"), layer),
    **dict.fromkeys(("avg_pool", "mean"), average),
    **dict.fromkeys(("relu", "relu6", "clamp"), clamp),
    **dict.fromkeys(sorted(PASSING), passing),
    **dict.fromkeys(
        ("leaky_relu", "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "tanh", "elu", "mish", "softplus"), table
    ),
    "size": size,
}
"""Operators of convolutional networks."""
