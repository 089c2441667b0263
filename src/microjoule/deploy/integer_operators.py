"""What each operator computes on integers, as targets do it: by the operator's name, (step) -> value."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from microjoule.deploy.activation_bounds import integer_bounds
from microjoule.deploy.integer_layer import integer_layer
from microjoule.deploy.integer_sums import convolve, convolve_transposed, multiply
from microjoule.deploy.integer_values import VALUES, Added, Filled, Integers, Joined, Sums, Term, Value, on_grid
from microjoule.graph.activation import Activation
from microjoule.graph.geometry import geometry, window_sizes
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, fill_value, kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import PASSING
from microjoule.numerics.affine import Affine, fake_quantize, quantize


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
        args, kwargs = pytree.tree_map_only(VALUES, as_tensor, fetched)
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
    return _sum(step, 1.0)


def sub(step: Step) -> Added:
    """A difference is a sum with the second value turned."""
    return _sum(step, -1.0)


def _sum(step: Step, sign: float) -> Added:
    args = arguments(step.node)
    return Added(_term(step, args["self"], 1.0), _term(step, args["other"], sign * float(args["alpha"])))


def _term(step: Step, operand: Any, factor: float) -> Term:
    if isinstance(operand, Node) and factor:
        return Term.of(step.value_of(operand), factor)
    if isinstance(operand, Node):
        return Term(torch.zeros_like(step.value_of(operand).centred), torch.ones((), dtype=torch.float64), 8)
    return Term.constant(float(operand) * factor)


def mul(step: Step) -> Sums:
    """The product of two values is on the product of their scales; a number goes into the scale."""
    args = arguments(step.node)
    a = step.value_of(args["self"])
    if not isinstance(args["other"], Node):
        return _times(a, float(args["other"]))
    b = step.value_of(args["other"])
    return Sums(a.centred.double() * b.centred, a.scale * b.scale)


def div(step: Step) -> Sums:
    """Divided by a number, which goes into the scale."""
    args = arguments(step.node)
    return _times(step.value_of(args["self"]), 1.0 / float(args["other"]))


def neg(step: Step) -> Sums:
    """Turned."""
    return _times(step.inputs[0], -1.0)


def _times(value: Integers, factor: float) -> Sums:
    sign = float(factor > 0) - float(factor < 0)
    return Sums(value.centred * sign, value.scale * (abs(factor) or 1.0))


def product(step: Step) -> Sums:
    """The matrix product of two values, in float64, where its sums are exact."""
    a, b = step.inputs
    target: Any = step.node.target
    return Sums(target(a.centred.double(), b.centred.double()), a.scale * b.scale)


def total(step: Step) -> Sums:
    """The sum along axes."""
    (x,) = step.inputs
    return Sums(step.call(lambda value: value.centred.double()), x.scale)


def concat(step: Step) -> Joined:
    """Each part goes to the grid of the result; `stack` puts a new axis between them."""
    args = arguments(step.node)
    join = torch.stack if kind(step.network.module, step.node) == "stack" else torch.cat
    parts = tuple(step.value_of(part) for part in args["tensors"])
    return Joined(parts, partial(join, dim=int(args["dim"])))


def average(step: Step) -> Sums:
    """The sum over each window, whose size goes into the scale; windows at a border may be smaller."""
    (x,) = step.inputs
    means = step.call(lambda value: value.centred.double())
    counts = window_sizes(step.node, x.centred.shape, means.shape)
    return Sums(torch.round(means * counts), x.scale, counts)


def clamp(step: Step) -> Value:
    """On integers at once, on what waits for a grid when it has it."""
    found = Activation.at(step.network.module, step.node)
    assert found is not None
    (x,) = step.inputs
    if not isinstance(x, Integers):
        waiting: Value = x.clamped(found.low, found.high)
        return waiting
    bounds = integer_bounds(found.low, found.high, x.affine)
    if bounds is None:
        return x
    q = torch.minimum(torch.maximum(x.stored, bounds.low), bounds.high)
    return Integers((q - x.affine.zero_point).float(), x.affine)


def passing(step: Step) -> Any:
    """Moved, not computed: torch's own operator on the centred integers, in which 0 is 0."""
    (x,) = step.inputs
    if isinstance(x, list | tuple):  # of an operator with several results
        return x[int(str(step.node.args[1]))]
    if fill_value(step.node) != 0:
        return pad(step, x)
    moved = step.call(lambda value: value.centred)
    return pytree.tree_map_only(Tensor, lambda t: Integers(t, x.affine), moved)


def pad(step: Step, x: Integers) -> Value:
    """A number around a value: an integer if it is on the value's grid; else both wait for another."""
    fill = fill_value(step.node)
    filled = Filled(x, tuple(arguments(step.node)["pad"]), fill)
    return filled.on(x.affine) if is_on_grid(fill, x.affine) else filled


def is_on_grid(number: float, affine: Affine) -> bool:
    """Whether a number is one of a grid's values, in float32."""
    exact = torch.tensor(number, dtype=torch.float32)
    return bool(fake_quantize(exact, affine) == exact)


def table(step: Step) -> Tensor:
    """A function of one integer (a channel): a target looks it up, in a table of the grid's values on the output's."""
    result: Tensor = step.call(lambda value: value.reals())
    return result


def size(step: Step) -> Any:
    """Arithmetic on shapes."""
    return step.call(lambda value: value.centred)


FUNCTIONS = (
    *("leaky_relu", "prelu", "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "tanh", "elu", "mish", "softplus"),
    *("exp", "sqrt", "rsqrt", "pow"),
)
"""Operators that compute each value from one."""

OPERATORS: dict[str, Callable[[Step], Any]] = {
    "quantizer": quantizer,
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "neg": neg,
    "matmul": product,
    "sum": total,
    **dict.fromkeys(("concat", "stack"), concat),
    **dict.fromkeys(("conv", "conv_transpose", "linear"), layer),
    **dict.fromkeys(("avg_pool", "mean"), average),
    **dict.fromkeys(("relu", "relu6", "clamp"), clamp),
    **dict.fromkeys(sorted(PASSING), passing),
    **dict.fromkeys(FUNCTIONS, table),
    "size": size,
}
"""Operators of convolutional networks, and of attention but for its softmax."""
