"""Which values are live at the start, and while an operator runs."""

from collections.abc import Collection

from microjoule.scheduling.computation import Computation
from microjoule.scheduling.views import without_views


def live_at_start(computation: Computation) -> list[int]:
    """The values that are in memory before anything has run: indices of what the caller gives, if it is used.

    Args:
        computation: with views or without.
    """
    plain, _ = without_views(computation)
    values = enumerate(zip(plain.values, plain.readers(), strict=True))
    return [index for index, (value, readers) in values if value.is_input and (value.is_output or readers)]


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
    number = {index: position for position, index in enumerate(kept)}
    ran, running = {number[one] for one in done if one in number}, number[operator]
    writers = plain.writers()
    users = [{*written, *read} for written, read in zip(writers, plain.readers(), strict=True)]
    found = [
        index
        for index, value in enumerate(plain.values)
        if (value.is_input or (ran | {running}) & set(writers[index])) and (value.is_output or users[index] - ran)
    ]
    place, output = plain.operators[running].inplace, plain.operators[running].outputs[0]
    if place is None or plain.values[place].is_output or users[place] - ran != {running} or len(writers[output]) > 1:
        return found
    return [index for index in found if index != output]
