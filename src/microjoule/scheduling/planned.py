"""A computation in the order that takes the least memory, as a record: plain values, whatever it was read from."""

import time
from collections.abc import Collection, Iterable, Sequence

from microjoule.records.scheduled import Demand, Held, MemoryUse, Moment, Placement, Scheduled
from microjoule.scheduling.bound import Bottleneck
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.exact import TIME_LIMIT_S, Packing, pack
from microjoule.scheduling.lifetimes import Lifetimes, buffers_of
from microjoule.scheduling.live import live_at_start, live_values
from microjoule.scheduling.order import Order, Watch, needs, order, peak_bytes


def planned(
    computation: Computation,
    *,
    sizes: str,
    seconds: float | None = None,
    alignment: int = 1,
    watch: Watch | None = None,
) -> tuple[tuple[int, ...], Scheduled]:
    """Find the order that takes the least memory, and an arena for it.

    Args:
        computation: with views or without.
        sizes: what its bytes are, for the record, such as "as deployed".
        seconds: when to stop looking for an order, and, counted anew, for an arena; None looks for an order for as long
            as it takes, and for an arena for a minute.
        alignment: of every value in the arena, in bytes.
        watch: is told how far the search is.

    Returns:
        The order, which is the one that the operators have if none is better, and the record.

    Raises:
        SettingError: for a negative time, or an alignment that is no whole number from 1.
    """
    started = time.perf_counter()
    found = order(computation, seconds=seconds, watch=watch)
    given = tuple(range(len(computation.operators)))
    chosen = found.order if found.peak < peak_bytes(computation) else given
    lives = buffers_of(computation, chosen)
    limit = _limit(computation, found)
    limit_s = TIME_LIMIT_S if seconds is None else min(seconds, TIME_LIMIT_S)
    packing = pack(lives.buffers, alignment=alignment, time_limit_s=limit_s)
    record = Scheduled(
        sizes=sizes,
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
    return chosen, record


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
    held, running = _held(computation, live_values(computation, done, operator)), computation.operators[operator]
    if running.workspace_bytes:
        held = (*held, Held("its workspace", running.workspace_bytes))
    return Demand(running.name, size_bytes, held)


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
