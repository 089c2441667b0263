"""An exported program as a flat graph: a row of tensors in, plain containers of tensors out, the model's own paths.

Regions that torch keeps as graphs within the graph (autocast, gradients switched off) are written out; branches and
loops that depend on values (`torch.cond`, `while_loop`) are refused.
"""

import itertools
import keyword
import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen

from microjoule.errors import CaptureError
from microjoule.graph.file.names import TAKEN
from microjoule.graph.nest import Nest, filled
from microjoule.graph.network import graph_module

WRAPPED = "model"
"""The name under which `Flat` holds the model."""

WRITTEN_OUT = (
    "wrap_with_autocast",
    "wrap_with_set_grad_enabled",
    "tag_activation_checkpoint",
    "wrap_activation_checkpoint",
)
"""Operators that run a graph of their own and change nothing that counts in evaluation."""


def flat_graph(program: ExportedProgram, nest: Nest, names: Sequence[str], *, wrapped: bool) -> GraphModule:
    """A graph that takes a program's tensors in a row, and gives its outputs in plain containers.

    Args:
        program: as torch.export gave it.
        nest: how its output tensors are nested.
        names: of the tensors that it takes.
        wrapped: whether the program is of a model in `Flat`.

    Raises:
        CaptureError: if it holds a graph of another kind, or takes a number that is free.
    """
    module = program.module(check_guards=False)
    for node in list(module.graph.nodes):
        _write_out(module, node)
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and not node.users:
            module.graph.erase_node(node)
    _refuse_graphs(module)
    module.graph.set_codegen(CodeGen())
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in inputs:
        _check_input(node)
    tensors = [node for node in inputs if isinstance(node.meta.get("val"), Tensor)]
    for node, name in zip(tensors, names, strict=True):
        node.target = argument_name(name)
    for node in set(inputs) - set(tensors):
        module.graph.erase_node(node)
    output = next(node for node in module.graph.nodes if node.op == "output")
    row = [leaf for leaf in output.args[0] if isinstance(leaf, Node)]
    output.args = (filled(nest, row),)
    return _unwrapped(module) if wrapped else _registered(module, module.graph)


def argument_name(name: str) -> str:
    """A name that Python takes for an argument: "pair.rest.0" is pair_rest_0."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"
    return f"{plain}_1" if keyword.iskeyword(plain) or plain in TAKEN else plain


def _check_input(node: Node) -> None:
    if isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool):
        raise CaptureError(
            str(node.target),
            "is a number that the program leaves free",
            remedy="export the program for one value of it",
        )


def _write_out(module: GraphModule, node: Node) -> None:
    """Replace a call of a graph within the graph by what that graph computes."""
    if getattr(node.target, "__name__", "") not in WRITTEN_OUT:
        return
    at = next(i for i, a in enumerate(node.args) if isinstance(a, Node) and _graph_at(module, a) is not None)
    place, operands = node.args[at], iter(node.args[at + 1 :])
    assert isinstance(place, Node)
    inner = _graph_at(module, place)
    assert inner is not None
    copies: dict[Node, Any] = {}
    for one in inner.graph.nodes:
        if one.op == "placeholder":
            copies[one] = next(operands)
        elif one.op == "output":
            _read_results(node, [copies.get(leaf, leaf) for leaf in one.args[0]])
        else:
            with module.graph.inserting_before(node):
                copies[one] = module.graph.node_copy(one, copies.__getitem__)
            if one.op == "get_attr":  # a graph within the inner graph
                name = f"{place.target}_{one.target}"
                module.add_submodule(name, inner.get_submodule(str(one.target)))
                copies[one].target = name
            _write_out(module, copies[one])
    module.graph.erase_node(node)


def _graph_at(module: GraphModule, node: Node) -> GraphModule | None:
    found: Any = module
    for part in str(node.target).split(".") if node.op == "get_attr" else []:
        found = getattr(found, part, None)
    return found if isinstance(found, GraphModule) and found is not module else None


def _read_results(node: Node, results: Sequence[Any]) -> None:
    """Let those who read a result of a graph read the value itself."""
    for user in list(node.users):
        assert user.target is operator.getitem
        user.replace_all_uses_with(results[int(str(user.args[1]))])
        user.graph.erase_node(user)


def _refuse_graphs(module: GraphModule) -> None:
    for node in module.graph.nodes:
        if isinstance(node.target, HigherOrderOperator):
            name = node.target.__name__
            raise CaptureError(
                line_of(node),
                f"{name} runs a graph of its own, which a network cannot hold",
                remedy="compute all branches and choose between them (torch.where), or capture the parts by themselves",
            )


def line_of(node: Node) -> str:
    """File and line of the user's code that a node comes from."""
    trace = re.findall(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)', node.meta.get("stack_trace") or "")
    inside = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<")
    own = [one for one in trace if not one[0].startswith(inside)]
    return f"{own[-1][0]}:{own[-1][1]} ({own[-1][2].strip()})" if own else node.name


def _unwrapped(module: GraphModule) -> GraphModule:
    """The graph of a model that `Flat` held: its paths begin at the model."""
    root = module.get_submodule(WRAPPED) if WRAPPED in module._modules else nn.Module()
    for node in module.graph.nodes:
        if node.op == "get_attr" and not str(node.target).startswith(f"{WRAPPED}."):
            name = free_name(root, str(node.target))  # a constant that torch found beside the model
            root.register_buffer(name, getattr(module, str(node.target)), persistent=False)
            node.target = name
        elif node.op == "get_attr":
            node.target = str(node.target).removeprefix(f"{WRAPPED}.")
        stack = node.meta.get("nn_module_stack") or {}
        paths = {key: (path, kind) for key, (path, kind) in stack.items() if path}
        node.meta["nn_module_stack"] = {key: (_inner(path), kind) for key, (path, kind) in paths.items()}
    return _registered(root, module.graph)


def _inner(path: str) -> str:
    return "" if path == WRAPPED else path.removeprefix(f"{WRAPPED}.")


def _registered(root: nn.Module, graph: Graph) -> GraphModule:
    """A module whose tensors that a graph reads are all parameters or buffers, not mere attributes."""
    for node in graph.nodes:
        if node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")
            owner = root.get_submodule(path)
            if name not in owner._buffers and name not in owner._parameters:
                tensor = getattr(owner, name)
                delattr(owner, name)
                owner.register_buffer(name, tensor, persistent=False)
    return graph_module(root, graph)


def free_name(owner: nn.Module, name: str) -> str:
    """A name under which a module holds nothing yet: the given one, or with a number."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return next(one for one in itertools.chain([name], numbered) if not hasattr(owner, one))
