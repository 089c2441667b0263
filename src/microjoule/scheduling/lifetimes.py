"""Which buffers a computation needs when its operators run in some order, and when each of them lives."""

from collections.abc import Iterable
from dataclasses import dataclass

from microjoule.errors import GraphError
from microjoule.scheduling.arena import Buffer
from microjoule.scheduling.computation import Computation, Operator
from microjoule.scheduling.views import origins


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The buffers of a computation in an order; time is counted in steps, one for each operator.

    Args:
        buffers: of values first, then of workspaces.
        places: for each value the indices of the buffers that it lies in: one of its own, or the one that it takes over
            in place; for a view those of all that it reads.
    """

    buffers: tuple[Buffer, ...]
    places: tuple[tuple[int, ...], ...]


def buffers_of(computation: Computation, order: Iterable[int] | None = None) -> Lifetimes:
    """The buffers of a computation.

    A value lives from the step that writes it first, or from the start if the caller gives it, until the step that
    reads it or a view on it last, or to the end if the caller wants it. An output in place lies in its input's buffer,
    if that step is the first to write the output and the last to use what lies there.

    Args:
        order: indices of all operators; without one they run as they stand.

    Raises:
        GraphError: if the order leaves out an operator or names one twice, or one would come before what it needs.
    """
    count = len(computation.operators)
    given = tuple(range(count) if order is None else order)
    if sorted(given) != list(range(count)):
        fact = f"has {count} operators, but the order is {given}"
        raise GraphError(computation.name, fact, remedy="name the index of each operator once")
    return _Lives(computation.in_order(given)).found()


class _Lives:
    def __init__(self, computation: Computation) -> None:
        self.computation = computation
        self.steps = max(1, len(computation.operators))
        self.writers = computation.writers()
        self.bases = origins(computation)
        self.until = self._until()

    def _until(self) -> list[int]:
        """For each value the step after the last that uses its bytes; for what the caller wants, one after the end."""
        until = [0] * len(self.bases)
        for value, (readers, bases) in enumerate(zip(self.computation.readers(), self.bases, strict=True)):
            last = max((*readers, *self.writers[value]), default=0) + 1
            if self.computation.values[value].is_output:
                last = self.steps + 1
            for base in (value, *bases):
                until[base] = max(until[base], last)
        return until

    def found(self) -> Lifetimes:
        """The buffers, with those joined that lie in place."""
        heads = self._heads()
        buffers: list[Buffer] = []
        place_of: dict[int, int] = {}
        for head in dict.fromkeys(heads[base] for bases in self.bases for base in bases):
            joined = [value for value, one in enumerate(heads) if one == head]
            start = min(self.writers[head], default=0)
            end = min(self.steps, max(self.until[value] for value in joined))
            size = max(self.computation.values[value].size_bytes for value in joined)
            place_of[head] = len(buffers)
            buffers.append(Buffer(self.computation.values[head].name, start, end, size))
        for step, operator in enumerate(self.computation.operators):
            if operator.workspace_bytes:
                buffers.append(Buffer(f"workspace of {operator.name}", step, step + 1, operator.workspace_bytes))
        places = (tuple(dict.fromkeys(place_of[heads[base]] for base in bases)) for bases in self.bases)
        return Lifetimes(tuple(buffers), tuple(places))

    def _heads(self) -> list[int]:
        """For each value the first one of those that lie in the same buffer, one in place of the other."""
        heads = list(range(len(self.bases)))
        for step, operator in enumerate(self.computation.operators):
            if self._in_place(step, operator) and operator.inplace is not None:
                heads[operator.outputs[0]] = heads[self.bases[operator.inplace][0]]
        return heads

    def _in_place(self, step: int, operator: Operator) -> bool:
        if operator.inplace is None or operator.is_view or self.writers[operator.outputs[0]][0] != step:
            return False
        under = self.bases[operator.inplace]
        others = [base for value in operator.inputs if value != operator.inplace for base in self.bases[value]]
        return len(under) == 1 and self.until[under[0]] == step + 1 and under[0] not in others
