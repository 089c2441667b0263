"""Scheduling a network: its nodes in the order that takes the least memory, and a plan for the arena."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch.fx import Node

from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import kind
from microjoule.graph.sums import Sum, relink
from microjoule.records.scheduled import Scheduled
from microjoule.scheduling.from_graph import accumulated_sums, computation_of
from microjoule.scheduling.planned import planned


@takes_network
def schedule(
    network: Network,
    *,
    seconds: float | None = None,
    simulated: bool = False,
    alignment: int = 1,
    accumulates: bool = False,
) -> Scheduled:
    """Put the operators of a network in the order that takes the least memory for activations, in place.

    The outputs stay the same, bit for bit, but with `accumulates`. A network whose order is as good as the best is left
    as it is.

    Args:
        network: in evaluation.
        seconds: when to stop looking for an order, and, counted anew, for an arena; the best that was found by then is
            taken, with a bound. None looks for an order for as long as it takes, and for an arena for a minute.
        simulated: count the bytes that values take in PyTorch, as `run_in_arena` needs it; else those as deployed, as
            wide as their quantizers.
        alignment: of every value in the arena, in bytes.
        accumulates: assume a runtime whose convolutions can add to what lies in memory, so that one that an add alone
            reads, as those of `split_concatenations`, takes no memory beside the sum. The terms of a sum are then added
            in the order in which they are computed, so that outputs are the same to rounding.

    Returns:
        The record, which is in the network's history, too.

    Raises:
        GraphError: if an operator changes what it reads.
        SettingError: for a negative time, an alignment that is no whole number from 1, or `accumulates` with
            `simulated`.
    """
    computation = computation_of(network, simulated=simulated, accumulates=accumulates)
    sizes = "in PyTorch" if simulated else "as deployed"
    chosen, record = planned(computation, sizes=sizes, seconds=seconds, alignment=alignment)
    sums = accumulated_sums(network) if accumulates else []
    if sums or chosen != tuple(range(len(computation.operators))):
        _reorder(network, [computation.operators[index].name for index in chosen], sums)
    record = replace(record, accumulates=accumulates)
    network.history.append(record)
    return record


# The edit ---------------------------------------------------------------------


def _reorder(network: Network, names: Sequence[str], sums: Sequence[Sum]) -> None:
    """Move the nodes, each add of a sum right behind the convolution that it adds."""
    operators = [network.node(name) for name in names]
    adds: dict[Node, Node] = {}
    for one in sums:
        terms = [node for node in operators if node in one.terms]
        if one.start is None:
            relink(one, terms)
        adds |= zip(terms[-len(one.adds) :], one.adds, strict=True)
    nodes = _with_sizes(network, operators, adds)
    end = network.graph.output_node()
    for node in nodes:
        end.prepend(node)
    network.recompile()


def _with_sizes(network: Network, operators: Sequence[Node], adds: Mapping[Node, Node]) -> list[Node]:
    """All nodes that move: operators, and sizes as soon as they are known. Stored tensors are left in front of them.

    Args:
        network: that they are in.
        operators: in the order in which they run.
        adds: for an operator, the add that follows it.
    """
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
        if operator in adds:
            place(adds[operator])
        place_sizes()
    return found
