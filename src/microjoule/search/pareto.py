"""The Pareto front: of many points, those that no other beats in one number without losing in the other.

In order of cost, a point is on the front if its loss is below that of all that cost less: one sort, one pass.
"""

import math
from collections.abc import Sequence
from itertools import groupby

from microjoule.errors import SettingError


def pareto_front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Find the points that are not dominated.

    A point dominates another if it is no worse in both numbers and better in one. Of equal points none dominates the
    other, so all of them are found or none.

    Args:
        points: pairs (loss, cost), the smaller the better. An accuracy goes in as its negative.

    Returns:
        Indices of points, the cheapest first, equal points in their own order.

    Raises:
        SettingError: for NaN, which is neither better nor worse than a number.
    """
    for index, point in enumerate(points):
        if any(math.isnan(value) for value in point):
            raise SettingError(f"point {index}", f"is {point}", remedy="leave it out, or give two numbers")
    front: list[int] = []
    least = math.inf
    by_cost = sorted(range(len(points)), key=lambda index: (points[index][1], points[index][0]))
    for (loss, _), equals in groupby(by_cost, key=lambda index: points[index]):
        if loss < least or not front:
            front += equals
            least = loss
    return tuple(front)
