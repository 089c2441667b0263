"""Names of nodes that tell where a value is made: the module's path, and the operator where that alone is not enough.

Quantizers, reports and comparisons go by these names, so "features_0_2" says more than "hardtanh__17".
"""

import builtins
import itertools
import keyword
import operator
import re
from collections import Counter
from collections.abc import Set

from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

CALL = "_call"
"""Stands before the number of a further call of the same module."""

STORED = ("placeholder", "get_attr")
"""Nodes that give what is there already, under the name that the user wrote."""

RESERVED = frozenset(
    (*dir(nn.Module()), *dir(GraphModule(nn.Module(), Graph())), *dir(builtins), *keyword.kwlist, *keyword.softkwlist)
)
"""Names that mean something else: a value of such a name could not be an attribute of a module, as quantizers are."""


def renamed(graph: Graph) -> Graph:
    """The same graph with telling names.

    - A call of a layer has the layer's path; the second call of the same layer ends in "_call2".
    - The only function of a module without submodules (an activation, a pooling) has that module's path.
    - Any other function has the path of the module that calls it and the operator's name; in the model's own `forward`
      the path is empty.
    """
    keys = {node: _stack(node) for node in graph.nodes}
    parents = {key for stack in keys.values() for key, _ in stack[:-1]}
    functions = Counter(keys[node][-1][0] for node in graph.nodes if keys[node] and _is_function(node))
    alone = {key for key, count in functions.items() if count == 1 and key not in parents}
    made = Graph()
    copies: dict[Node, Node] = {}
    taken = set(RESERVED)
    names: dict[Node, str] = {}
    for node in sorted(graph.nodes, key=lambda one: one.op not in STORED):  # those have the names that the user wrote
        names[node] = node.name if node.op == "output" else _free(*_name(node, keys[node], alone), taken)
        taken.add(names[node])
    for node in graph.nodes:
        name = names[node]
        args, kwargs = map_arg((node.args, node.kwargs), copies.__getitem__)
        copy = made.create_node(node.op, node.target, args, kwargs, name, node.type)
        copy.meta = dict(node.meta)
        copies[node] = copy
    return made


def _stack(node: Node) -> list[tuple[str, str]]:
    """(key, path) of the modules that a node was called in, outermost first; each call of a module has its own key."""
    stack = node.meta.get("nn_module_stack") or {}
    return [(key, path) for key, (path, _) in stack.items() if path]


def _is_function(node: Node) -> bool:
    """Whether a node computes tensors by a function (and not sizes, which nobody looks for)."""
    return node.op == "call_function" and isinstance(node.meta.get("val"), Tensor | list | tuple)


def _name(node: Node, stack: list[tuple[str, str]], alone: Set[str]) -> tuple[str, str]:
    """A node's name, and what to put between it and a number if it is taken."""
    if node.op in STORED:
        return str(node.target).replace(".", "_"), "_"
    if node.op == "call_module":
        return str(node.target).replace(".", "_"), CALL
    function = _operator_name(node)
    if not stack or not _is_function(node):
        return function, "_"
    key, path = stack[-1]
    module = path.replace(".", "_")
    if key in alone and node.target is not operator.getitem:
        return module, CALL
    return f"{module}_{function}", "_"


def _operator_name(node: Node) -> str:
    schema = getattr(node.target, "_schema", None)
    name = str(getattr(node.target, "__name__", node.target)) if schema is None else schema.name.partition("::")[2]
    return name.strip("_").replace(".", "_")


def _free(name: str, separator: str, taken: Set[str]) -> str:
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    name = f"_{name}" if name[:1].isdigit() or not name else name
    start = 2 if separator == CALL else 1
    numbered = (f"{name}{separator}{number}" for number in itertools.count(start))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)
