"""A network as a function of tensors alone, as a file has it: its inputs and outputs in a row, each with a name."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from microjoule.errors import ExportError
from microjoule.graph.network import Example, Network
from microjoule.graph.shapes import typed_shapes

OUTPUT = "output"
"""What an output is called, with its number if there are several, where the model has no name for it."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What goes into a file and what comes out.

    Args:
        inputs: the names of the tensors that it takes.
        outputs: the names of the tensors that it gives.
        places: which of the network's outputs these are, counted without nesting.
        left_out: outputs that are no tensors: their names, and what they are.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    places: tuple[int, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def chosen(self, outputs: Any) -> list[Tensor]:
        """Those of a network's outputs that the file gives as well."""
        leaves = pytree.tree_leaves(outputs)
        return [leaves[place] for place in self.places]


def interface(network: Network) -> Interface:
    """The inputs and outputs that a network's file has, under the names that the model gives them.

    An input has the name of its argument; one in a dict its key after that. An output in a dict has its key, another
    one its number.

    Raises:
        ExportError: if the network gives no tensor.
    """
    inputs = [node for node, value in _inputs(network) if isinstance(value, Tensor)]
    leaves = pytree.tree_leaves(network.graph.output_node().args[0])
    tensors = typed_shapes(network)
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, Node) and leaf in tensors]
    if not places:
        raise ExportError("network", "gives no tensor", remedy="capture a model that returns at least one")
    words = _output_words(network, len(leaves))
    used = [node.name for node in inputs]
    named = [_joined(words[place], alone=len(places) == 1) for place in places]
    names = _distinct([*used, *named])
    others = [index for index in range(len(leaves)) if index not in places and leaves[index] is not None]
    left_out = tuple((_joined(words[index], alone=False), _told(leaves[index])) for index in others)
    return Interface(tuple(names[: len(used)]), tuple(names[len(used) :]), tuple(places), left_out)


def flatten(network: Network, found: Interface) -> GraphModule:
    """Let a network take the tensors of its interface by position and give a tuple of them, in place.

    What it takes beside tensors (numbers, flags) has the example's value from now on.
    """
    graph = network.graph
    output = graph.output_node()
    for node, value in list(_inputs(network)):
        if not isinstance(value, Tensor):
            _replace_by_value(node, value)
            graph.erase_node(node)
    leaves = pytree.tree_leaves(output.args[0])
    output.args = (tuple(leaves[place] for place in found.places),)
    graph.set_codegen(CodeGen())
    network.recompile()
    return network.module


def _inputs(network: Network) -> list[tuple[Node, Any]]:
    """Every input of the graph, and the example's value for it."""
    nodes = [node for node in network.graph.nodes if node.op == "placeholder"]
    return list(zip(nodes, example_leaves(network.example), strict=True))


def example_leaves(example: Example) -> list[Any]:
    """Everything in an example, without nesting, in the order of the network's inputs."""
    return pytree.tree_leaves((example.args, example.kwargs))


def _replace_by_value(node: Node, value: Any) -> None:
    for user in list(node.users):
        user.args, user.kwargs = map_arg((user.args, user.kwargs), lambda other: value if other is node else other)


# Names ----------------------------------------------------------------------------------------------------------------


def _output_words(network: Network, count: int) -> list[tuple[str, ...]]:
    """For each output what leads to it: keys and numbers, outermost first."""
    info = getattr(network.graph._codegen, "pytree_info", None)
    numbers: list[tuple[str, ...]] = [(str(index),) for index in range(count)]
    if info is None or info.out_spec is None:
        return numbers
    try:
        nested = pytree.tree_unflatten(list(range(count)), info.out_spec)
        paths, _ = pytree.tree_flatten_with_path(nested)
    except (TypeError, ValueError):  # a class that tells nothing of its parts
        return numbers
    return [tuple(_word(key) for key in path) for path, _ in paths]


def _word(key: Any) -> str:
    """A step on the way to an output: a key, a number, an attribute's name."""
    return str(next(getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name)))


def _joined(words: Sequence[str], *, alone: bool) -> str:
    """One name of letters, digits and underscores."""
    if alone and all(word.isdigit() for word in words):
        return OUTPUT
    name = re.sub(r"\W", "_", "_".join(words), flags=re.ASCII)
    return f"{OUTPUT}_{name}".rstrip("_") if not name or name[0].isdigit() else name


def _distinct(names: Iterable[str]) -> list[str]:
    """The same names, with a number after one that was there before."""
    taken: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        taken.append(next(one for one in itertools.chain([name], numbered) if one not in taken))
    return taken


def _told(leaf: Any) -> str:
    return "a size" if isinstance(leaf, Node) else f"the value {leaf!r}"
