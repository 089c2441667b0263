"""How far float32's own rounding moves a value: the same operators in float64 on the same integers tell.

A mean over what was normalized is 0 but for rounding, and a grid that was calibrated on it has steps as fine as that
noise. Two runtimes that sum in another order then differ by many steps, and neither is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.deploy.replay import Substitute, quantizer_nodes, replay
from microjoule.errors import MicrojouleError
from microjoule.graph.network import Network
from microjoule.numerics.affine import dequantize


def rounding_steps(network: Network, leaves: Sequence[Any], integers: Mapping[str, Tensor]) -> dict[str, float]:
    """By how many steps of its grid float32's rounding moves each value at most, between one quantizer and the next.

    Args:
        network: on the CPU, in evaluation mode.
        leaves: its inputs without nesting.
        integers: of quantized values, by name, any shapes: what operators compute from.

    Returns:
        Steps by name; nothing where an operator does not compute in float64.
    """
    precise = network.copy()
    precise.module.double()
    try:
        exact = _before_quantizers(precise, [_double(leaf) for leaf in leaves], integers)
    except MicrojouleError:
        return {}
    rounded = _before_quantizers(network, leaves, integers)
    scales = {name: float(network.quantizers[name].affine.scale.min()) for name in exact}
    return {name: _furthest(exact[name], rounded[name].double()) / scales[name] for name in exact}


def in_float64(interpreter: Interpreter, node: Node) -> Tensor | None:
    """What a node gives in float64 for the values that an interpreter has; None where it does not compute so.

    Args:
        interpreter: has run all nodes before this one.
        node: of its graph; a quantizer's module is none that computes so.
    """
    args, kwargs = pytree.tree_map(_double, interpreter.fetch_args_kwargs_from_env(node))
    try:
        with torch.no_grad():
            if node.op == "call_module":
                module = interpreter.fetch_attr(str(node.target))
                state = {name: _double(tensor) for name, tensor in module.state_dict(keep_vars=True).items()}
                value = torch.func.functional_call(module, state, args, kwargs)
            else:
                value = getattr(interpreter, node.op)(node.target, args, kwargs)
    except (RuntimeError, TypeError, ValueError):
        return None
    return value if isinstance(value, Tensor) and value.is_floating_point() else None


def _before_quantizers(network: Network, leaves: Sequence[Any], integers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each value before it is quantized, where all that is quantized before it has the given integers."""
    values: dict[Node, Tensor] = {}
    names = {node: name for name, node in quantizer_nodes(network).items() if name in integers}
    read = {node: node.all_input_nodes[0] for node in names}
    watched = {value: _record(values, value) for value in read.values()}
    replay(network, leaves, watched | {node: _put(network, name, integers[name]) for node, name in names.items()})
    return {name: values[read[node]] for node, name in names.items() if read[node] in values}


def _record(values: dict[Node, Tensor], node: Node) -> Substitute:
    def record(value: Tensor) -> Tensor:
        values[node] = value
        return value

    return record


def _put(network: Network, name: str, integers: Tensor) -> Substitute:
    def put(value: Tensor) -> Tensor:
        affine = network.quantizers[name].affine
        return dequantize(integers.to(torch.int32), affine).to(value.dtype)

    return put


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _furthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().nan_to_num(0.0).max()) if a.numel() else 0.0
