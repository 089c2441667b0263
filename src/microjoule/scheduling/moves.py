"""The step of a search that tries other orders: one operator elsewhere."""

import random
from collections.abc import Collection, Sequence


def with_one_moved(order: Sequence[int], before: Sequence[Collection[int]], chooser: random.Random) -> list[int]:
    """An order with one operator moved to any place after all that it needs and before all that need it.

    Args:
        order: indices of operators, one or more, in which they can run.
        before: for each operator those that it needs.
        chooser: draws the operator, then its place, which may be the one that it has.
    """
    moved = list(order)
    operator = moved.pop(chooser.randrange(len(moved)))
    first = max((place + 1 for place, one in enumerate(moved) if one in before[operator]), default=0)
    last = min((place for place, one in enumerate(moved) if operator in before[one]), default=len(moved))
    moved.insert(chooser.randint(first, last), operator)
    return moved
