"""SERENITY's scheduler, to compare with: a dynamic program in parts, under a budget that is searched for.

- Divide: every order passes a set whose operators all that follow need, so the parts between such sets are ordered one
  by one.
- Budget: sets that need more than a budget are left out. If the budget is below the optimum nothing is left; if it is
  too high there are too many sets; it is halved or raised in between (adaptive soft budgeting).

Source: Ahn et al. 2020, Ordering Chaos, https://arxiv.org/abs/2003.02369, sections 3.1 and 3.2, algorithms 1 and 2.
Where the paper limits the time of a step, the number of sets is limited here, so that runs are alike.
"""

from microjoule.scheduling.bits import ones
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.dynamic_program import Overrun, best_run
from microjoule.scheduling.memory import Memory, State
from microjoule.scheduling.views import with_views, without_views


def serenity(computation: Computation, *, states: int = 200_000) -> tuple[tuple[int, ...], int, int]:
    """An order by divide and conquer with adaptive soft budgeting.

    Args:
        computation: with views or without.
        states: sets that one try may look at, before its budget counts as too high.

    Returns:
        The order, its peak in bytes, and how many sets were looked at in all.

    Raises:
        Overrun: if no budget lets a part end within the sets allowed.
    """
    plain, kept = without_views(computation)
    memory = Memory(plain)
    run, peak, looked, state = list[int](), memory.start.live, 0, memory.start
    for goal in waists(memory):
        part, needed, tried = _part(memory, state, goal, states)
        for operator in part:
            _, live = memory.run(operator, state)
            state = memory.follow(operator, state, live)
        run, peak, looked = run + part, max(peak, needed), looked + tried
    return with_views(computation, [kept[index] for index in run]), peak, looked


def waists(memory: Memory) -> list[int]:
    """Sets of operators that every order passes, the smallest first; the last one is all operators.

    Args:
        memory: the tables, forwards.
    """
    earlier, later = memory.closures()
    found = [
        earlier[one] | 1 << one for one in range(memory.count) if (earlier[one] | later[one] | 1 << one) == memory.full
    ]
    return sorted({*found, memory.full}, key=int.bit_count) if memory.count else []


def _part(memory: Memory, start: State, goal: int, states: int) -> tuple[list[int], int, int]:
    """The best run to a set; `low` has proved too small, `high` is enough."""
    low, high = start.live - 1, _first_come(memory, start, goal)
    budget, looked = high, 0
    while True:
        try:
            found = best_run(memory, (start, goal), budget=budget, states=states)
        except Overrun:
            looked += states
            if budget - low <= 1:
                raise
            high, budget = budget, (low + budget) // 2
            continue
        if found is not None:
            return found[0], found[1], looked + found[2]
        low, budget = budget, -(-(budget + high) // 2)


def _first_come(memory: Memory, state: State, goal: int) -> int:
    """The peak of the order in which operators become ready (Kahn's)."""
    peak = state.live
    while state.done != goal:
        operator = next(ones(state.ready & goal))
        need, live = memory.run(operator, state)
        peak, state = max(peak, need), memory.follow(operator, state, live)
    return peak
