"""How much memory a computation takes, step by step: forwards, and backwards from its end.

After a set S of operators has run (with each operator those that it needs: a downset), a value is live if it was
started and is not finished: its first writer has run, or the caller gives it; and a reader or writer has not run yet,
or the caller wants it. f(S) is what the live values take. While operator v runs on top of S it needs

    need(v | S) = f(S) + what v starts + its workspace - what it lays where a value lies that v finishes.

Both are cut functions of a hypergraph, hence submodular: f(S) + f(T) >= f(S | T) + f(S & T). All that the search may
leave out follows from that.

Seen backwards, from the end, writers finish values and readers start them, and f is the same function of what is left.
One set of tables serves both: `starters` and `finishers` of each value change places.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from microjoule.scheduling.bits import mask, ones
from microjoule.scheduling.computation import Computation


class Extent(NamedTuple):
    """When a value is live: from the first of its starters until the last of its finishers.

    Args:
        size: in bytes.
        starters: operators, as a set of bits.
        finishers: operators, as a set of bits.
        from_start: it is live before anything has run.
        to_end: it is live after everything has run.
    """

    size: int
    starters: int
    finishers: int
    from_start: bool
    to_end: bool

    def is_live(self, started: int, finished: int) -> bool:
        """Whether it is live when the one operators have started and the others have ended, both as sets of bits."""
        return (self.from_start or bool(self.starters & started)) and (self.to_end or bool(self.finishers & ~finished))


class State(NamedTuple):
    """Where a search is.

    Args:
        done: the operators that have run.
        live: f(done), in bytes.
        ready: the operators that can run next.
    """

    done: int
    live: int
    ready: int


class Memory:
    """The tables of a computation without views, forwards or backwards.

    Args:
        computation: without views (`without_views`).
        backwards: from the end.
    """

    def __init__(self, computation: Computation, *, backwards: bool = False) -> None:
        self.backwards = backwards
        self.count = len(computation.operators)
        self.full = (1 << self.count) - 1
        self.workspace = [operator.workspace_bytes for operator in computation.operators]
        self.before = [mask(needed) for needed in computation.before()]
        self.after = [0] * self.count
        for index, needed in enumerate(self.before):
            for one in ones(needed):
                self.after[one] |= 1 << index
        writers = [mask(found) for found in computation.writers()]
        users = [found | mask(more) for found, more in zip(writers, computation.readers(), strict=True)]
        self._reused = self._reuse(computation, users)
        self.extents = [
            Extent(value.size_bytes, written, used, value.is_input, value.is_output)
            for value, written, used in zip(computation.values, writers, users, strict=True)
        ]
        if backwards:
            self.before, self.after = self.after, self.before
            self.extents = [
                Extent(one.size, one.finishers, one.starters, one.to_end, one.from_start) for one in self.extents
            ]
        self._tabulate()

    @property
    def start(self) -> State:
        """Nothing has run yet."""
        live = sum(one.size for one in self.extents if one.is_live(0, 0))
        return State(0, live, mask(index for index, needed in enumerate(self.before) if not needed))

    def run(self, operator: int, state: State) -> tuple[int, int]:
        """What an operator needs on top of a state, and what is live after it, in bytes."""
        done, live = state.done, state.live + self._alone[operator]
        for size, others in self._shared[operator]:
            if not others & done:
                live += size
        need = live + self.workspace[operator]
        reused = self._reused[operator]
        if reused is not None and self.overwrites(operator, done):
            need -= reused[0]
        for size, others in self._finished[operator]:
            if not others & ~done:
                live -= size
        return need, live

    def follow(self, operator: int, state: State, live: int) -> State:
        """The state after an operator, with the bytes that are live then."""
        done = state.done | 1 << operator
        ready = state.ready & ~(1 << operator)
        for one in ones(self.after[operator]):
            if not self.before[one] & ~done:
                ready |= 1 << one
        return State(done, live, ready)

    def closures(self) -> tuple[list[int], list[int]]:
        """For each operator all that must run before it, and all that must run after it."""
        order = range(self.count - 1, -1, -1) if self.backwards else range(self.count)
        earlier, later = [0] * self.count, [0] * self.count
        for one in order:
            for needed in ones(self.before[one]):
                earlier[one] |= earlier[needed] | 1 << needed
        for one in reversed(order):
            for follower in ones(self.after[one]):
                later[one] |= later[follower] | 1 << follower
        return earlier, later

    def along(self, order: Iterable[int]) -> Iterator[tuple[int, int]]:
        """What each operator of an order needs, and what is live after it, in bytes."""
        state = self.start
        for operator in order:
            need, live = self.run(operator, state)
            state = self.follow(operator, state, live)
            yield need, live

    def needs(self, order: Iterable[int]) -> list[int]:
        """What each operator of an order needs, in bytes."""
        return [need for need, _ in self.along(order)]

    def peak(self, order: Iterable[int]) -> int:
        """The most bytes in use at any time of an order."""
        return max([self.start.live, *self.needs(order)])

    def overwrites(self, operator: int, done: int) -> bool:
        """Whether an operator lays its output, on top of a set of operators, where a value lies that it finishes."""
        reused = self._reused[operator]
        return reused is not None and not reused[1] & (done if self.backwards else ~done)

    def reusable(self, operator: int) -> int:
        """What an operator may lay where a value lies that it finishes, in bytes."""
        reused = self._reused[operator]
        return 0 if reused is None else reused[0]

    def started_by(self, operator: int) -> list[int]:
        """The values that an operator may be the first to start."""
        return self._started[operator]

    def _reuse(self, computation: Computation, users: list[int]) -> list[tuple[int, int] | None]:
        """For each operator in place: the bytes of its output, and the other users of the input that it overwrites."""
        found: list[tuple[int, int] | None] = []
        writers = computation.writers()
        for index, operator in enumerate(computation.operators):
            place = operator.inplace
            if place is None or computation.values[place].is_output or len(writers[operator.outputs[0]]) > 1:
                found.append(None)
            else:
                found.append((computation.values[operator.outputs[0]].size_bytes, users[place] & ~(1 << index)))
        return found

    def _tabulate(self) -> None:
        """For each operator: bytes that it starts whoever ran before, and those that depend on others."""
        self._alone = [0] * self.count
        self._shared: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        self._finished: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        self._started: list[list[int]] = [[] for _ in range(self.count)]
        for value, extent in enumerate(self.extents):
            for operator in ones(0 if extent.from_start else extent.starters):
                others = extent.starters & ~(1 << operator)
                self._started[operator].append(value)
                if others:
                    self._shared[operator].append((extent.size, others))
                else:
                    self._alone[operator] += extent.size
            for operator in ones(0 if extent.to_end else extent.finishers):
                self._finished[operator].append((extent.size, extent.finishers & ~(1 << operator)))
