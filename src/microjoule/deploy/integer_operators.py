"""What each operator computes on integers, as targets do it: by the operator's name, (step) -> value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from microjoule.deploy.activation_bounds import integer_bounds
from microjoule.deploy.integer_layer import integer_layer
from microjoule.deploy.integer_sums import convolve, convolve_transposed, multiply
from microjoule.deploy.integer_values import Added, Integers, Joined, Sums, Value, on_grid
from microjoule.graph.geometry import geometry, window_sizes
from microjoule.graph.network import Network
from microjoule.graph.ops import Activation, Layer, arguments, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import PASSING
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
        args, kwargs = pytree.tree_map_only(Integers, as_tensor, fetched)
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
        return Integers((quantize(value, found.affine) - found.affine.zero_point).float(), found.affine)
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
        total = multiply(x.centred, weight, stored.bias)
        column = 0
    else:
        sums = convolve if found.kind == "conv" else convolve_transposed
        total = sums(x.centred, weight, stored.bias, geometry(found))
        column = total.dim() - 2
    scale = stored.scale if stored.scale.dim() == 0 else stored.scale.reshape(-1, *[1] * column)
    return Sums(total, scale)


def add(step: Step) -> Added:
    """Both inputs wait for the grid of their sum."""
    a, b = step.inputs
    return Added(a, b)


def mul(step: Step) -> Sums:
    """The product of two values is on the product of their scales."""
    a, b = step.inputs
    return Sums(a.centred.double() * b.centred, a.scale * b.scale)


def concat(step: Step) -> Joined:
    """Each part goes to the grid of the result."""
    dim = arguments(step.node)["dim"]
    return Joined(tuple(step.value_of(part) for part in arguments(step.node)["tensors"]), int(dim))


def average(step: Step) -> Sums:
    """The sum over each window, whose size goes into the scale; windows at a border may be smaller."""
    (x,) = step.inputs
    means = step.call(lambda value: value.centred.double())
    counts = window_sizes(step.node, x.centred.shape, means.shape)
    return Sums(torch.round(means * counts), x.scale, counts)


def clamp(step: Step) -> Value:
    """On integers at once, on a sum when it has its grid."""
    found = Activation.at(step.network.module, step.node)
    assert found is not None
    (x,) = step.inputs
    if isinstance(x, Sums | Added):
        return x.clamped(found.low, found.high)
    assert isinstance(x, Integers)
    bounds = integer_bounds(found.low, found.high, x.affine)
    if bounds is None:
        return x
    q = torch.minimum(torch.maximum(x.stored, bounds.low), bounds.high)
    return Integers((q - x.affine.zero_point).float(), x.affine)


def passing(step: Step) -> Any:
    """Moved, not computed: torch's own operator on the centred integers."""
    read = pytree.tree_leaves(step.inputs, is_leaf=lambda value: isinstance(value, Integers))
    grids = [value.affine for value in read if isinstance(value, Integers)]
    moved = step.call(lambda value: value.centred)
    return pytree.tree_map_only(Tensor, lambda t: Integers(t, grids[0]), moved)


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
