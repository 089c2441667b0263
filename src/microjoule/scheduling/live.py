"""Which values are live at the start, and while an operator runs."""

from collections.abc import Collection

from microjoule.scheduling.bits import mask
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views


def live_at_start(computation: Computation) -> list[int]:
    """The values that are in memory before anything has run: indices of what the caller gives, if it is used.

    Args:
        computation: with views or without.
    """
    extents = enumerate(Memory(without_views(computation)[0]).extents)
    return [index for index, one in extents if one.is_live(0, 0)]


def live_values(computation: Computation, done: Collection[int], operator: int) -> list[int]:
    """The values that are in memory while an operator runs, without what it lays over a value that it is done with.

    Args:
        computation: with views or without.
        done: indices of operators that have run, with each of them those that it needs; views may be left out.
        operator: index of the one that runs, no view.

    Returns:
        Indices of values, in their order; with the workspace, their bytes are what the operator needs.
    """
    plain, kept = without_views(computation)
    memory, number = Memory(plain), {index: position for position, index in enumerate(kept)}
    ran, running = mask(number[one] for one in done if one in number), number[operator]
    found = [index for index, one in enumerate(memory.extents) if one.is_live(ran | 1 << running, ran)]
    if memory.overwrites(running, ran):
        found.remove(plain.operators[running].outputs[0])
    return found
