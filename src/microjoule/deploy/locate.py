"""The first operator that a file has wrongly: the network is written once more, with every value as an output."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from microjoule.deploy.agreement import ROUNDINGS
from microjoule.deploy.difference import difference
from microjoule.deploy.lower import lower
from microjoule.deploy.rounding import in_float64
from microjoule.deploy.session import open_session, run_session
from microjoule.deploy.trace import DOMAIN, VALUE, Mark, users_line, written
from microjoule.graph.edit import set_weight
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import arguments, aten, kind
from microjoule.graph.shapes import typed_shapes

RELATIVE = 1e-5
"""By how much of its largest value one operator's result may differ in float32."""

SEEN = "seen"
"""Where the marks are, each at the name of its value."""

PICKS = frozenset(
    (
        *(aten.sort.default, aten.sort.stable, aten.topk.default, aten.argsort.default),
        *(aten.argmax.default, aten.argmin.default, aten.max.dim, aten.min.dim),
    )
)
"""Operators that say where a value lies, and take any of equal ones."""


@dataclass(frozen=True, slots=True)
class WrongOperator:
    """An operator that computes something else in a file.

    Args:
        place: the node, its operator, and the user's line, if that is known.
        difference: as `difference` has it.
    """

    place: str
    difference: float


def first_wrong_operator(network: Network, leaves: Sequence[Any]) -> WrongOperator | None:
    """Run a network and its file operator by operator, each on what the file gave to it.

    Args:
        network: on the CPU, in evaluation mode.
        leaves: its inputs without nesting.

    Returns:
        The first that differs; None if all agree.
    """
    copy = network.copy()
    for layer in copy.layers:
        if layer.quantizer is not None:
            set_weight(layer, layer.weight.detach())
            layer.quantizer.release()
            layer.quantizer.enabled = False
    places = {node.name: node for node in network.graph.nodes}
    names = _mark_all(copy)
    lower(copy)
    model, _ = written(copy)
    _show(model)
    session = open_session(ir.to_proto(model).SerializeToString(), "network")
    shown = [name for name in names if f"{SEEN}.{name}" in {entry.name for entry in session.get_outputs()}]
    given = tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))
    found = run_session(session, given, [f"{SEEN}.{name}" for name in shown])
    values = dict(zip(shown, map(torch.from_numpy, found), strict=True))
    compared = _Comparing(network, values)
    with torch.no_grad():
        compared.run(*leaves, enable_io_processing=False)
    if compared.wrong is None:
        return None
    name, apart = compared.wrong
    return WrongOperator(place_of(network, places[name]), apart)


def place_of(network: Network, node: Node) -> str:
    """A node with its operator and the user's line, if that is known."""
    return f"{node.name} ({kind(network.module, node) or node.target}{users_line(node)})"


def _mark_all(network: Network) -> set[str]:
    """Put a mark on every tensor that is computed; returns their names."""
    tensors = typed_shapes(network)
    names = set()
    for node in list(network.graph.nodes):
        computes = node.op in ("call_function", "call_module") and kind(network.module, node) != "quantizer"
        if not computes or node not in tensors:
            continue
        set_submodule(network.module, f"{SEEN}.{node.name}", Mark(VALUE, node.name))
        with network.graph.inserting_after(node):
            mark = network.graph.call_module(f"{SEEN}.{node.name}", (node,))
        node.replace_all_uses_with(mark, delete_user_cb=lambda user, mark=mark: user is not mark)
        names.add(node.name)
    network.recompile()
    return names


def _show(model: ir.Model) -> None:
    """Let every marked value be an output under its name."""
    graph = model.graph
    marks = [node for node in graph if node.domain == DOMAIN]
    for mark in marks:
        name = mark.attributes["name"].as_string()
        shown = ir.node("Identity", [mark.inputs[0]])
        shown.outputs[0].name = f"{SEEN}.{name}"
        shown.outputs[0].type, shown.outputs[0].shape = mark.outputs[0].type, mark.outputs[0].shape
        graph.insert_before(mark, shown)
        mark.outputs[0].replace_all_uses_with(shown.outputs[0], replace_graph_outputs=True)
        graph.remove(mark, safe=True)
        graph.outputs.append(shown.outputs[0])
    model.opset_imports.pop(DOMAIN, None)


class _Comparing(Interpreter):
    """Runs a network on a file's values, up to the first that differs."""

    def __init__(self, network: Network, values: Mapping[str, Tensor]) -> None:
        super().__init__(network.module, garbage_collect_values=False)  # picks are compared by what they read
        self.extra_traceback = False
        self.values = values
        self.wrong: tuple[str, float] | None = None

    def run_node(self, n: Node) -> Any:
        """Compute a node from the file's values, and compare."""
        value = super().run_node(n)
        if n.name not in self.values or not isinstance(value, Tensor):
            return value
        got = self.values[n.name]
        apart = difference(value, got)
        if (
            apart > RELATIVE
            and self.wrong is None
            and not (self._picks_equal(n, value, got) or self._rounded(n, value, got))
        ):
            self.wrong = n.name, apart
        return got if got.shape == value.shape and got.dtype == value.dtype else value

    def _rounded(self, node: Node, expected: Tensor, got: Tensor) -> bool:
        """Whether both are as near to the exact value as float32 comes."""
        exact = in_float64(self, node)
        if exact is None or exact.shape != got.shape:
            return False
        return difference(exact, got.double()) <= ROUNDINGS * difference(exact, expected.double())

    def _picks_equal(self, node: Node, expected: Tensor, got: Tensor) -> bool:
        """Whether both say where equal values lie."""
        source: Any = node.args[0] if node.target is operator.getitem else node
        if source.target not in PICKS or expected.is_floating_point() or expected.shape != got.shape:
            return False
        args = arguments(source)
        read: Tensor = self.env[args["self"]]
        dim = args.get("dim")
        if dim is None:
            return torch.equal(read.flatten()[expected.flatten()], read.flatten()[got.flatten()])
        if expected.dim() < read.dim():
            expected, got = expected.unsqueeze(dim), got.unsqueeze(dim)
        return torch.equal(read.gather(dim, expected), read.gather(dim, got))
