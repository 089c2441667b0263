"""Computations without views: who reads a view reads what it lies on."""

from collections.abc import Sequence
from dataclasses import replace

from microjoule.scheduling.computation import Computation, Operator


def origins(computation: Computation) -> list[tuple[int, ...]]:
    """For each value the values that hold its bytes: itself, or those that it is a view of, if there are any."""
    found: list[tuple[int, ...]] = [(value,) for value in range(len(computation.values))]
    for operator in computation.operators:
        if operator.is_view and operator.inputs:
            under = tuple(dict.fromkeys(origin for value in operator.inputs for origin in found[value]))
            for output in operator.outputs:
                found[output] = under
    return found


def without_views(computation: Computation) -> tuple[Computation, list[int]]:
    """The same without views, and for each operator that is left its index in the given one.

    Values keep their indices. What lies under a view that the caller wants is an output itself. An operator in place on
    a view overwrites what the view lies on, if that is one value of the same size. A view of nothing takes no bytes.
    """
    kept = [index for index, operator in enumerate(computation.operators) if not operator.is_view]
    viewed = {value for operator in computation.operators if operator.is_view for value in operator.outputs}
    under = [tuple(one for one in found if one not in viewed) for found in origins(computation)]
    wanted = {origin for value, one in enumerate(computation.values) if one.is_output for origin in under[value]}
    values = tuple(
        replace(one, size_bytes=0, is_input=True, is_output=False)
        if value in viewed
        else replace(one, is_output=value in wanted)
        for value, one in enumerate(computation.values)
    )
    operators = tuple(_on_origins(computation, computation.operators[index], under) for index in kept)
    return Computation(computation.name, values, operators), kept


def with_views(computation: Computation, order: Sequence[int]) -> tuple[int, ...]:
    """An order of all operators from one of those that are no views: each view as soon as it can be.

    Args:
        computation: with views.
        order: indices of its operators that are no views.
    """
    before, placed, found = computation.before(), set[int](), list[int]()
    waiting = [index for index, operator in enumerate(computation.operators) if operator.is_view]

    def place_views() -> None:
        for index in list(waiting):
            if before[index] <= placed:
                waiting.remove(index)
                placed.add(index)
                found.append(index)

    place_views()
    for index in order:
        placed.add(index)
        found.append(index)
        place_views()
    return tuple(found)


def _on_origins(computation: Computation, operator: Operator, under: list[tuple[int, ...]]) -> Operator:
    inputs = tuple(dict.fromkeys(origin for value in operator.inputs for origin in under[value]))
    place = operator.inplace
    if place is not None:
        room = computation.values[operator.outputs[0]].size_bytes
        fits = len(under[place]) == 1 and computation.values[under[place][0]].size_bytes >= room
        place = under[place][0] if fits else None
    return replace(operator, inputs=inputs, inplace=place)
