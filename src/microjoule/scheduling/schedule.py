"""Scheduling a network: its nodes in the order that takes the least memory, and a plan for the arena."""

import time
from collections.abc import Collection, Iterable, Sequence

from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.records.scheduled import Demand, Held, MemoryUse, Moment, Placement, Scheduled
from microjoule.scheduling.bound import Bottleneck
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.exact import TIME_LIMIT_S, Packing, pack
from microjoule.scheduling.from_graph import computation_of
from microjoule.scheduling.lifetimes import Lifetimes, buffers_of
from microjoule.scheduling.live import live_at_start, live_values
from microjoule.scheduling.order import Order, needs, order, peak_bytes


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
    started = time.perf_counter()
    computation = computation_of(network, simulated=simulated)
    found = order(computation, seconds=seconds)
    given = tuple(range(len(computation.operators)))
    chosen = found.order if found.peak < peak_bytes(computation) else given
    lives = buffers_of(computation, chosen)
    limit = _limit(computation, found)
    limit_s = TIME_LIMIT_S if seconds is None else min(seconds, TIME_LIMIT_S)
    packing = pack(lives.buffers, alignment=alignment, time_limit_s=limit_s)
    record = Scheduled(
        sizes="in PyTorch" if simulated else "as deployed",
        before=_memory_use(computation, given),
        after=_memory_use(computation, chosen),
        bound_bytes=found.lower_bound if limit is None else max(found.lower_bound, limit.size_bytes),
        states=found.states,
        seconds=time.perf_counter() - started,
        limit=limit,
        arena_bytes=packing.plan.size_bytes,
        arena_bound_bytes=packing.bound_bytes,
        arena=_placements(computation, lives, packing),
    )
    if chosen != given:
        _reorder(network, [computation.operators[index].name for index in chosen])
    network.history.append(record)
    return record


# The record -------------------------------------------------------------------


def _memory_use(computation: Computation, chosen: Sequence[int]) -> MemoryUse:
    used = needs(computation, chosen)
    moments = tuple(Moment(computation.operators[one].name, need) for one, need in zip(chosen, used, strict=True))
    steps = [step for step, one in enumerate(chosen) if not computation.operators[one].is_view]
    step = max(steps, key=used.__getitem__, default=None)
    peak = None if step is None else _demand(computation, chosen[:step], chosen[step], used[step])
    return MemoryUse(peak_bytes(computation, chosen), moments, peak)


def _limit(computation: Computation, found: Order) -> Demand | None:
    match found.certificate:
        case Bottleneck(operator, bound, done):
            return _demand(computation, done, operator, bound)
        case None:
            return Demand("", found.lower_bound, _held(computation, live_at_start(computation)))
    return None


def _demand(computation: Computation, done: Collection[int], operator: int, size_bytes: int) -> Demand:
    live = live_values(computation, done, operator)
    return Demand(computation.operators[operator].name, size_bytes, _held(computation, live))


def _held(computation: Computation, live: Iterable[int]) -> tuple[Held, ...]:
    values = (computation.values[index] for index in live)
    return tuple(Held(value.name, value.size_bytes) for value in values if value.size_bytes)


def _placements(computation: Computation, lives: Lifetimes, packing: Packing) -> tuple[Placement, ...]:
    views = {value for operator in computation.operators if operator.is_view for value in operator.outputs}
    names: list[list[str]] = [[] for _ in lives.buffers]
    for index, value in enumerate(computation.values):
        if index not in views:
            names[lives.places[index][0]].append(value.name)
    return tuple(
        Placement(tuple(names[index]), one.lower, one.upper, offset, one.size_bytes)
        for index, (one, offset) in enumerate(zip(lives.buffers, packing.plan.offsets, strict=True))
        if one.size_bytes
    )


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
