"""A network run on the values that another runtime found: each operator computes from what that runtime gave to it.

So every operator is compared on its own: an error is seen where it arises, and in no operator after that one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.errors import MicrojouleError
from microjoule.execution.run import misfit
from microjoule.graph.network import Network

Substitute = Callable[[Tensor], Tensor]
"""The network's value of a node -> the value to go on with."""


class _Replay(Interpreter):
    """One pass."""

    def __init__(self, network: Network, substitutes: Mapping[Node, Substitute]) -> None:
        super().__init__(network.module, garbage_collect_values=True)
        self.extra_traceback = False
        self.substitutes = substitutes

    def run_node(self, n: Node) -> Any:
        """Compute a node, and put the other runtime's value in its place."""
        value = super().run_node(n)
        return self.substitutes[n](value) if n in self.substitutes and isinstance(value, Tensor) else value


def quantizer_nodes(network: Network) -> dict[str, Node]:
    """The nodes of quantizers by the values' names."""
    paths = {f"quantizers.{name}": name for name in network.quantizers}
    return {paths[str(node.target)]: node for node in network.graph.nodes if str(node.target) in paths}


def replay(network: Network, leaves: Sequence[Any], substitutes: Mapping[Node, Substitute]) -> list[Any]:
    """Run a network with values of some nodes in place of its own.

    Args:
        network: any network.
        leaves: its inputs without nesting, in the order of its placeholders.
        substitutes: what is put in the place of a node's value.

    Returns:
        Its outputs without nesting.

    Raises:
        DataError: if the inputs do not fit.
    """
    try:
        with torch.no_grad():
            outputs = _Replay(network, substitutes).run(*leaves, enable_io_processing=False)
    except MicrojouleError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise misfit(network, tuple(leaves), error) from error
    return pytree.tree_leaves(outputs)
