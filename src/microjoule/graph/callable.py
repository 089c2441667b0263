"""A network as an ordinary module that is called like the model that it was captured from."""

from typing import Any

from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.utils import _pytree as pytree

from microjoule.graph.contract import Parameter
from microjoule.graph.nest import Items, Leaf, Nest, filled
from microjoule.graph.network import Network, graph_module


def as_module(network: Network) -> GraphModule:
    """The network's graph as a module with the model's own arguments, dicts and Python values among them.

    It shares the network's layers. Inputs are not held to the contract.
    """
    given = [one for one in network.contract.parameters if one.given is not None]
    if all(isinstance(one.given, Leaf) and one.kind == "positional" for one in given):
        return network.module
    values = {one.name: one.given for one in given if one.given is not None}
    leaves = [leaf for nest in values.values() for leaf in _leaves(nest)]
    graph, copies = Graph(), dict[Node, Node]()
    row = [node for node in network.graph.nodes if node.op == "placeholder"]
    for number, leaf in enumerate(leaves):
        node = row[leaf] if leaf is not None else None
        made = graph.placeholder(f"value_{number}" if node is None else node.name)
        if node is not None:
            copies[node] = made
    graph.output(graph.graph_copy(network.graph, copies))
    graph.set_codegen(_PyTreeCodeGen(_info(given, len(row))))
    return graph_module(network.module, graph)


def _info(given: list[Parameter], tensors: int) -> _PyTreeInfo:
    """How torch unpacks the arguments, whose leaves are in the order of `_leaves`."""
    args, kwargs, names = list[Any](), dict[str, Any](), list[str]()
    for one in given:
        for name, value in _arguments(one, tensors):
            names.append(name)
            if one.kind in ("positional", "args"):
                args.append(value)
            else:
                kwargs[name] = value
    return _PyTreeInfo(names, pytree.tree_structure((tuple(args), kwargs)), None)


def _arguments(parameter: Parameter, tensors: int) -> list[tuple[str, Any]]:
    """The arguments that a parameter stands for, by name: several for the rest of them."""
    assert parameter.given is not None
    value = filled(parameter.given, [0] * tensors)
    if parameter.kind == "args":
        return [(f"{parameter.name}_{number}", part) for number, part in enumerate(value)]
    return list(value.items()) if parameter.kind == "kwargs" else [(parameter.name, value)]


def _leaves(nest: Nest) -> list[int | None]:
    """A nest's leaves: the index of a tensor, or None for a Python value."""
    if isinstance(nest, Items):
        return [leaf for part in nest.parts for leaf in _leaves(part)]
    return [nest.index if isinstance(nest, Leaf) else None]
