"""Best-first search over downsets for the smallest peak: the heart of `order`.

A state is a set of operators that have run. The state with the lowest peak so far is followed first, the deepest of
those, so the level, the lowest peak that is still open, only rises: it is a lower bound at any time, and the peak of the
first complete order is the smallest there is. As need and f are submodular, three things lose nothing:

- a forced move: operators that can run in a row within the level, and leave no more live than there was before, and
  no more than at any set in between, run at once: whatever an order does in between it can do after that, with less;
- a commit: a state that was reached within the level is on a best order if all that is left needs all that is done, or
  if it leaves no more live than any set between the last such state and itself (one minimum cut says so): every other
  open state is dropped;
- the direction: backwards from the end the same rules hold. Networks that branch from few values into many that are
  read late are often a hundred times faster that way, so both directions take turns.

Forced moves and commits are after Ahn et al. 2020 (https://arxiv.org/abs/2003.02369) only in what they are for; the
rules, and searching from both ends, are microjoule's own.
"""

import heapq
from dataclasses import dataclass

from microjoule.scheduling.bits import ones
from microjoule.scheduling.cuts import least_live
from microjoule.scheduling.memory import Memory, State

CUT_EVERY = 8
"""States between two tries to commit: a cut takes about as long as some ten states."""

@dataclass(frozen=True, slots=True)
class Exhausted:
    """The proof that no order stays below a bound: all were tried, from some set on that a best order passes.

    Args:
        backwards: whether from the end.
        passed: the operators from each such set to the next, in the order of the search.
    """

    backwards: bool
    passed: tuple[tuple[int, ...], ...]


Step = tuple[int, tuple[int, ...]]
"""The state before, as its set, and the operators that were run from it."""


class Search:
    """A search in one direction, which goes on as far as it is asked to.

    Args:
        memory: the tables, which tell the direction.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.level = memory.start.live
        """No order has a smaller peak."""
        self.states = 0
        self.commits: list[tuple[int, int]] = []
        """Sets of operators that a best order passes, and the level at which that was found."""
        self._steps: dict[int, Step] = {}
        self._reached: dict[int, int] = {}
        self._open: list[tuple[int, int, int, State]] = []
        self._base = memory.start
        self._earlier = memory.closures()[0]
        self._tried = 0
        self._finished: int | None = None
        self._push(self.level, *forced(memory, memory.start, self.level), None)

    @property
    def is_done(self) -> bool:
        """Whether a best order was found."""
        return self._finished is not None

    def advance(self, states: int) -> None:
        """Look at some more states, or fewer if that is enough."""
        for _ in range(states):
            if self.is_done:
                return
            self._look()

    def order(self) -> list[int]:
        """The best order, forwards, after the search is done."""
        found = self._run_to(self.memory.full)
        return found[::-1] if self.memory.backwards else found

    def exhausted(self) -> Exhausted:
        """The proof that no order has a peak below the level."""
        passed, start = list[tuple[int, ...]](), 0
        for done, level in self.commits:
            if level < self.level:
                passed.append(tuple(self._run_to(done, start)))
                start = done
        return Exhausted(self.memory.backwards, tuple(passed))

    def raise_level(self, bound: int) -> None:
        """Take in a lower bound from elsewhere."""
        self.level = max(self.level, bound)

    def _run_to(self, done: int, start: int = 0) -> list[int]:
        """The operators from one set to another, in the order of the search."""
        found: list[int] = []
        while done != start:
            before, operators = self._steps[done]
            found.extend(reversed(operators))
            done = before
        return found[::-1]

    def _look(self) -> None:
        reached, _, _, state = heapq.heappop(self._open)
        if self._reached.get(state.done, reached) < reached:
            return
        self.level = max(self.level, reached)
        self.states += 1
        if state.done == self.memory.full:
            self._finished = self.level
            return
        if state.done != self._base.done and self._may_commit(state):
            self._commit(state, reached)
        for operator in ones(state.ready):
            need, live = self.memory.run(operator, state)
            peak = max(self.level, need)
            after, run = forced(self.memory, self.memory.follow(operator, state, live), peak)
            if peak < self._reached.get(after.done, peak + 1):
                self._push(peak, after, [operator, *run], state)

    def _push(self, peak: int, state: State, run: list[int], before: State | None) -> None:
        self._reached[state.done] = peak
        if run:
            self._steps[state.done] = (0 if before is None else before.done, tuple(run))
        heapq.heappush(self._open, (peak, -state.done.bit_count(), len(self._steps), state))

    def _may_commit(self, state: State) -> bool:
        """Whether a best order passes a state."""
        if not any(state.done & ~self._earlier[operator] for operator in ones(state.ready)):
            return True
        if state.live > self._base.live or self.states - self._tried < CUT_EVERY:
            return False
        self._tried = self.states
        return least_live(self.memory, self._base.done, state.done)[0] >= state.live

    def _commit(self, state: State, peak: int) -> None:
        self._base = state
        self.commits.append((state.done, self.level))
        self._open, self._reached = [], {state.done: peak}


def forced(memory: Memory, state: State, level: int) -> tuple[State, list[int]]:
    """Run what can run within a level without loss.

    Args:
        memory: the tables.
        state: where to start.
        level: in bytes.

    Returns:
        The state then, and the operators that were run.
    """
    run: list[int] = []
    while True:
        for operator in ones(state.ready):
            need, live = memory.run(operator, state)
            if need > level:
                continue
            if live <= state.live:
                state = memory.follow(operator, state, live)
                run.append(operator)
                break
            after, chain = _valley(memory, state, (operator, live), level)
            if chain:
                state = after
                run += chain
                break
        else:
            return state, run


def _valley(memory: Memory, state: State, first: tuple[int, int], level: int) -> tuple[State, list[int]]:
    """The operators from one on, each made ready by the one before alone, up to the first that leaves no more live."""
    operator, live = first
    at, chain = state, list[int]()
    while live > state.live:
        chain.append(operator)
        follower = _only_follower(memory, operator, at.done | 1 << operator)
        if follower is None:
            return state, []
        at = memory.follow(operator, at, live)
        operator = follower
        need, live = memory.run(operator, at)
        if need > level:
            return state, []
    return memory.follow(operator, at, live), [*chain, operator]


def _only_follower(memory: Memory, operator: int, done: int) -> int | None:
    """The operator that can run once another has, if there is one and not more."""
    found = None
    for one in ones(memory.after[operator]):
        if not memory.before[one] & ~done:
            if found is not None:
                return None
            found = one
    return found
