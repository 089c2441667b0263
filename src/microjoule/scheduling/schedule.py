"""Scheduling a network: its nodes in the order that takes the least memory, and a plan for the arena."""

from collections.abc import Sequence

from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.records.scheduled import Scheduled
from microjoule.scheduling.from_graph import computation_of
from microjoule.scheduling.planned import planned


def schedule(
    network: Network, *, seconds: float | None = None, simulated: bool = False, alignment: int = 1
) -> Scheduled:
    """Put the operators of a network in the order that takes the least memory for activations, in place.

    The outputs stay the same, bit for bit. A network whose order is as good as the best is left as it is.

    Args:
        network: in evaluation.
        seconds: when to stop looking for an order, and, counted anew, for an arena; the best that was found by then is
            taken, with a bound. None looks for an order for as long as it takes, and for an arena for a minute.
        simulated: count the bytes that values take in PyTorch, as `run_in_arena` needs it; else those as deployed, as
            wide as their quantizers.
        alignment: of every value in the arena, in bytes.

    Returns:
        The record, which is in the network's history, too.

    Raises:
        GraphError: if an operator changes what it reads.
        SettingError: for a negative time, or an alignment that is no whole number from 1.
    """
    computation = computation_of(network, simulated=simulated)
    sizes = "in PyTorch" if simulated else "as deployed"
    chosen, record = planned(computation, sizes=sizes, seconds=seconds, alignment=alignment)
    if chosen != tuple(range(len(computation.operators))):
        _reorder(network, [computation.operators[index].name for index in chosen])
    network.history.append(record)
    return record


# The edit ---------------------------------------------------------------------


def _reorder(network: Network, names: Sequence[str]) -> None:
    """Move the nodes."""
    nodes = _with_sizes(network, [network.node(name) for name in names])
    end = network.graph.output_node()
    for node in nodes:
        end.prepend(node)
    network.recompile()


def _with_sizes(network: Network, operators: Sequence[Node]) -> list[Node]:
    """All nodes that move: operators, and sizes as soon as they are known. Stored tensors are left in front of them."""
    placed = {node for node in network.graph.nodes if node.op in ("placeholder", "get_attr")}
    sizes = [node for node in network.graph.nodes if kind(network.module, node) == "size"]
    found: list[Node] = []

    def place(node: Node) -> None:
        found.append(node)
        placed.add(node)

    def place_sizes() -> None:
        for size in sizes:
            if size not in placed and placed.issuperset(size.all_input_nodes):
                place(size)

    place_sizes()
    for operator in operators:
        place(operator)
        place_sizes()
    return found
