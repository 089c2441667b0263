"""A network as a function of tensors alone, as a file has it: its inputs and outputs in a row, each with a name."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from microjoule.errors import ExportError
from microjoule.graph.network import Network
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
    inputs = [_joined(one.name.split("."), alone=False) for one in network.contract.inputs]
    results = network.graph.output_node().args[0]
    leaves = pytree.tree_leaves(results)
    tensors = typed_shapes(network)
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, Node) and leaf in tensors]
    if not places:
        raise ExportError("network", "gives no tensor", remedy="capture a model that returns at least one")
    words = _output_words(results)
    named = [_joined(words[place], alone=len(places) == 1) for place in places]
    names = _distinct([*inputs, *named])
    others = [index for index in range(len(leaves)) if index not in places and leaves[index] is not None]
    left_out = tuple((_joined(words[index], alone=False), _told(leaves[index])) for index in others)
    return Interface(tuple(names[: len(inputs)]), tuple(names[len(inputs) :]), tuple(places), left_out)


def flatten(network: Network, found: Interface) -> GraphModule:
    """Let a network give a tuple of the tensors of its interface, in place."""
    output = network.graph.output_node()
    leaves = pytree.tree_leaves(output.args[0])
    output.args = (tuple(leaves[place] for place in found.places),)
    network.recompile()
    return network.module


# Names ----------------------------------------------------------------------------------------------------------------


def _output_words(results: Any) -> list[tuple[str, ...]]:
    """For each output what leads to it: keys and numbers, outermost first; a single one has the number 0."""
    paths, _ = pytree.tree_flatten_with_path(results)
    return [tuple(_word(key) for key in path) or ("0",) for path, _ in paths]


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
