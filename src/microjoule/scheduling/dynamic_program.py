"""The smallest peak by trying every set of operators: what the searches are compared with.

With M(S) the smallest peak of all orders that run the set S first,

    M(S + v) = min over v of max(M(S), need(v | S)),

set by set, all sets of one size before those of the next. There can be as many sets as 2^n.
"""

from microjoule.errors import SettingError
from microjoule.scheduling.bits import ones
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.memory import Memory, State
from microjoule.scheduling.views import with_views, without_views

Step = tuple[int, State, int, int]
"""Smallest peak, state, the operator that ran last, and the set before it."""


class Overrun(Exception):  # noqa: N818 - it is no error: it says that a limit was reached
    """More sets were to be looked at than allowed."""


def dynamic_program(computation: Computation, *, states: int = 2_000_000) -> tuple[tuple[int, ...], int, int]:
    """The best order.

    Args:
        computation: with views or without.
        states: sets that may be looked at.

    Returns:
        The order, its peak in bytes, and how many sets were looked at.

    Raises:
        SettingError: if there are more sets.
    """
    plain, kept = without_views(computation)
    memory = Memory(plain)
    try:
        found = best_run(memory, (memory.start, memory.full), budget=None, states=states)
    except Overrun as error:
        fact = f"of {computation.name} has more than {states:,} sets of operators"
        remedy = "use microjoule.scheduling.order, which leaves out what loses nothing"
        raise SettingError("a dynamic program", fact, remedy=remedy) from error
    assert found is not None
    run, peak, looked = found
    return with_views(computation, [kept[index] for index in run]), peak, looked


def best_run(
    memory: Memory, ends: tuple[State, int], *, budget: int | None, states: int
) -> tuple[list[int], int, int] | None:
    """The best run from a state to a set of operators.

    Args:
        memory: the tables, forwards.
        ends: where to start, and the set to end with.
        budget: sets that need more are left out; None for no budget.
        states: sets that may be looked at.

    Returns:
        The operators, the peak in bytes, and how many sets were looked at; None if the budget is too small.

    Raises:
        Overrun: if there are more sets.
    """
    start, goal = ends
    layers: list[dict[int, Step]] = [{start.done: (start.live, start, -1, 0)}]
    looked = 1
    for _ in range((goal & ~start.done).bit_count()):
        layer: dict[int, Step] = {}
        for peak, state, _, _ in layers[-1].values():
            for operator in ones(state.ready & goal):
                need, live = memory.run(operator, state)
                done, reached = state.done | 1 << operator, max(peak, need)
                if (budget is None or reached <= budget) and (done not in layer or reached < layer[done][0]):
                    layer[done] = (reached, memory.follow(operator, state, live), operator, state.done)
        looked += len(layer)
        if looked > states:
            raise Overrun
        if not layer:
            return None
        layers.append(layer)
    run, at = list[int](), goal
    for layer in layers[:0:-1]:
        _, _, operator, before = layer[at]
        run.append(operator)
        at = before
    return run[::-1], layers[-1][goal][0], looked
