"""A part of a computation as a computation of its own: one cell of a network, say."""

from collections.abc import Iterable
from dataclasses import replace

from microjoule.errors import GraphError
from microjoule.scheduling.computation import Computation, Value


def cut_out(computation: Computation, operators: Iterable[int], name: str = "") -> Computation:
    """Some operators alone: what they read from others is given, what others read from them is wanted.

    Args:
        computation: the whole.
        operators: their indices, say range(5, 33).
        name: of the part; empty for the whole's.

    Returns:
        The part, its values and operators in the whole's order.

    Raises:
        GraphError: for an index without an operator, none at all, or a value that is accumulated inside and outside.
    """
    kept = sorted(set(operators))
    if not kept or kept[0] < 0 or kept[-1] >= len(computation.operators):
        fact = f"has {len(computation.operators)} operators, and {len(kept)} are wanted"
        raise GraphError(computation.name, fact, remedy="name at least one operator, by its index from 0")
    inside = set(kept)
    writers, readers = computation.writers(), computation.readers()
    chosen = [computation.operators[one] for one in kept]
    named = {value for operator in chosen for value in (*operator.inputs, *operator.outputs)}
    values: list[Value] = []
    places: dict[int, int] = {}
    for value in sorted(named):
        made = inside & set(writers[value])
        if made and made != set(writers[value]):
            fact = "is accumulated by operators inside and outside of the part"
            raise GraphError(computation.values[value].name, fact, remedy="cut out all that write it, or none")
        wanted = bool(made) and not inside >= set(readers[value])
        whole = computation.values[value]
        places[value] = len(values)
        values.append(replace(whole, is_input=not made, is_output=whole.is_output or wanted))
    parts = tuple(operator.renumbered(places) for operator in chosen)
    return Computation(name or computation.name, tuple(values), parts)
