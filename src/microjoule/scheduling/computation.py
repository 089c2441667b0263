"""What is to be computed, seen as memory: values of some bytes, and operators that read and write them.

- A value that several operators write is accumulated: it is there from the first of them on, and is complete, so that
  it can be read, after the last.
- An operator may lay its output where one of its inputs lies, if nobody reads that input later.
- A view gives what it reads, seen in another way (reshape, split, concatenation of neighbours): it takes no bytes, and
  what it reads stays for as long as the view is read.

What the operators compute does not matter here, but for rewritings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from microjoule.errors import GraphError

LARGEST = 2**53
"""The largest size: whole numbers up to it are exact in JSON readers and in solvers that compute in floats."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an operator writes, or the caller gives.

    Args:
        name: for people.
        size_bytes: what it takes.
        is_input: the caller gives it: it is there from the start, until it was read for the last time.
        is_output: the caller wants it: it stays until the end.

    Raises:
        GraphError: for a size that is no whole number from 0 to 2^53.
    """

    name: str
    size_bytes: int
    is_input: bool = False
    is_output: bool = False

    def __post_init__(self) -> None:
        _require_size(f"value {self.name!r}", "size", self.size_bytes)


@dataclass(frozen=True, slots=True)
class Operator:
    """A step of the computation.

    Args:
        name: for people.
        inputs: indices of the values that it reads.
        outputs: indices of the values that it writes.
        inplace: the input that its output may overwrite, or None.
        workspace_bytes: taken while it runs, and by it alone.
        is_view: its outputs lie on its inputs.
        kind: what it computes, as far as a rewriting must know: "concat", "conv", "depthwise", "add", or another word.

    Raises:
        GraphError: for a workspace that is no whole number from 0 to 2^53, no output, an input or output that is named
            twice, or an `inplace` that is no input.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    inplace: int | None = None
    workspace_bytes: int = 0
    is_view: bool = False
    kind: str = ""

    def __post_init__(self) -> None:
        place = f"operator {self.name!r}"
        _require_size(place, "workspace", self.workspace_bytes)
        if not self.outputs:
            raise GraphError(place, "writes no value", remedy="leave it out, or give it an output")
        for kind, values in (("reads", self.inputs), ("writes", self.outputs)):
            if len(set(values)) < len(values):
                raise GraphError(place, f"{kind} a value twice: {values}", remedy="name each value once")
        if self.inplace is not None and (self.inplace not in self.inputs or len(self.outputs) != 1):
            fact = f"is in place on value {self.inplace}, reads {self.inputs} and writes {self.outputs}"
            raise GraphError(place, fact, remedy="name one of its inputs, and give it one output")

    def renumbered(self, places: Mapping[int, int]) -> "Operator":
        """The same where values have other indices.

        Args:
            places: the new index of each value that it names, by the old one.
        """
        return replace(
            self,
            inputs=tuple(places[value] for value in self.inputs),
            outputs=tuple(places[value] for value in self.outputs),
            inplace=None if self.inplace is None else places[self.inplace],
        )


@dataclass(frozen=True, slots=True)
class Computation:
    """Values, and the operators that make them, in an order in which they can run.

    Args:
        name: for people.
        values: an operator names them by their index.
        operators: each after those that write what it reads.

    Raises:
        GraphError: for an index without a value, a value that nobody gives, an input of the caller that an operator
            writes, a view that is accumulated, an output in place that is larger than its input, or operators that are
            not in order.
    """

    name: str
    values: tuple[Value, ...]
    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        for operator in self.operators:
            for value in (*operator.inputs, *operator.outputs):
                if not 0 <= value < len(self.values):
                    fact = f"names value {value} of {len(self.values)}"
                    raise GraphError(self._at(operator.name), fact, remedy="name values by their index, from 0")
            self._require_room(operator)
        self._require_origins()
        self._require_order()

    def writers(self) -> list[tuple[int, ...]]:
        """For each value the indices of the operators that write it."""
        return self._users(operator.outputs for operator in self.operators)

    def readers(self) -> list[tuple[int, ...]]:
        """For each value the indices of the operators that read it."""
        return self._users(operator.inputs for operator in self.operators)

    def before(self) -> list[frozenset[int]]:
        """For each operator the indices of those that write what it reads."""
        writers = self.writers()
        return [frozenset(one for value in operator.inputs for one in writers[value]) for operator in self.operators]

    def in_order(self, order: Iterable[int]) -> "Computation":
        """The same with its operators in another order.

        Args:
            order: indices of the operators.

        Raises:
            GraphError: if one would come before what it needs.
        """
        return Computation(self.name, self.values, tuple(self.operators[index] for index in order))

    def _users(self, named: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
        found: list[list[int]] = [[] for _ in self.values]
        for index, values in enumerate(named):
            for value in values:
                found[value].append(index)
        return [tuple(users) for users in found]

    def _require_room(self, operator: Operator) -> None:
        if operator.inplace is None:
            return
        given, taken = self.values[operator.inplace].size_bytes, self.values[operator.outputs[0]].size_bytes
        if taken > given:
            fact = f"writes {taken} bytes in place of {given}"
            raise GraphError(self._at(operator.name), fact, remedy="an output in place must fit where its input lies")

    def _require_origins(self) -> None:
        for value, writers in zip(self.values, self.writers(), strict=True):
            if value.is_input and writers:
                fact = f"is an input and written by operator {self.operators[writers[0]].name!r}"
                raise GraphError(self._at(value.name), fact, remedy="let the operator write a value of its own")
            if not value.is_input and not writers:
                fact = "is neither an input nor written by an operator"
                raise GraphError(self._at(value.name), fact, remedy="mark it as an input, or leave it out")
            if len(writers) > 1 and any(self.operators[one].is_view for one in writers):
                fact = "is written by several operators, one of them a view"
                raise GraphError(self._at(value.name), fact, remedy="let the view write a value of its own")

    def _require_order(self) -> None:
        for index, needed in enumerate(self.before()):
            late = [one for one in needed if one >= index]
            if late:
                fact = f"comes before operator {self.operators[max(late)].name!r}, which it needs"
                remedy = "sort the operators (microjoule.scheduling.sorted_operators), and leave out circles"
                raise GraphError(self._at(self.operators[index].name), fact, remedy=remedy)

    def _at(self, name: str) -> str:
        return f"{self.name}: {name}"


def sorted_operators(values: int, operators: Iterable[Operator]) -> tuple[Operator, ...]:
    """Operators in an order in which they can run.

    Args:
        values: how many there are.
        operators: in any order.

    Raises:
        GraphError: if they need each other in a circle.
    """
    given = tuple(operators)
    writers: list[list[int]] = [[] for _ in range(values)]
    for index, operator in enumerate(given):
        for value in operator.outputs:
            writers[value].append(index)
    needs = {
        index: [one for value in operator.inputs for one in writers[value]] for index, operator in enumerate(given)
    }
    try:
        return tuple(given[index] for index in TopologicalSorter(needs).static_order())
    except CycleError as error:
        names = " -> ".join(given[index].name for index in error.args[1])
        raise GraphError(names, "need each other in a circle", remedy="a computation has no circles") from error


def _require_size(place: str, what: str, size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST:
        raise GraphError(place, f"has a {what} of {size!r} bytes", remedy="give a whole number from 0 to 2^53")
