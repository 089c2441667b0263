"""A good order quickly: at each step only the best few states go on."""

from typing import NamedTuple

from microjoule.scheduling.bits import ones
from microjoule.scheduling.memory import Memory, State


class _Partial(NamedTuple):
    """How a state was reached: the smallest peak first, then the fewest bytes left."""

    peak: int
    live: int
    number: int
    state: State
    operator: int
    before: "_Partial | None"


def beam(memory: Memory, width: int) -> list[int]:
    """An order by beam search, forwards.

    Args:
        memory: the tables, which tell the direction of the search.
        width: how many states go on; 1 is greedy.
    """
    start = memory.start
    best = [_Partial(start.live, start.live, 0, start, -1, None)]
    for _ in range(memory.count):
        found: dict[int, _Partial] = {}
        for partial in best:
            for operator in ones(partial.state.ready):
                need, live = memory.run(operator, partial.state)
                done = partial.state.done | 1 << operator
                peak = max(partial.peak, need)
                if done not in found or peak < found[done].peak:
                    after = memory.follow(operator, partial.state, live)
                    found[done] = _Partial(peak, live, len(found), after, operator, partial)
        best = sorted(found.values())[:width]
    order: list[int] = []
    at: _Partial | None = best[0]
    while at is not None and at.before is not None:
        order.append(at.operator)
        at = at.before
    return order if memory.backwards else order[::-1]
