"""The order of a computation's operators that takes the least memory, with a proof."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microjoule.errors import SettingError
from microjoule.scheduling.beam import beam
from microjoule.scheduling.bound import Bottleneck, bottleneck
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.search import Exhausted, Search
from microjoule.scheduling.views import with_views, without_views

TURN = 512
"""States of the first turn of each direction; it doubles with each turn, so that no time is lost on many small ones."""

SLICE = 64
"""States between two looks at the clock."""

STATES_AN_OPERATOR = 4
"""States for each operator before bounds are computed: one of these takes about as long."""

BEAMS = (16, 128, 1024)
"""Widths of the beams that look for a better order while the search goes on."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order, and what is known about it.

    Args:
        order: indices of the operators.
        peak: of this order, in bytes.
        lower_bound: no order has a smaller peak, in bytes.
        states: that were looked at.
        seconds: that it took.
        certificate: why no order has a smaller peak than the bound: an operator that needs as much in every order, or
            that all were tried; None if already the inputs take as much.
    """

    order: tuple[int, ...]
    peak: int
    lower_bound: int
    states: int
    seconds: float
    certificate: Bottleneck | Exhausted | None

    @property
    def is_optimal(self) -> bool:
        """Whether no order has a smaller peak."""
        return self.peak == self.lower_bound

    @property
    def gap(self) -> float:
        """What another order could save at most, as a share of the peak."""
        return 1 - self.lower_bound / self.peak if self.peak else 0.0


Watch = Callable[[int, int, int], None]
"""Called after each turn with the best peak, the lower bound, both in bytes, and the states that were looked at."""


def order(
    computation: Computation, *, seconds: float | None = None, states: int | None = None, watch: Watch | None = None
) -> Order:
    """Find the order with the smallest peak, or, where time runs out, a good one and a bound.

    Args:
        computation: with views or without.
        seconds: when to stop; None looks for as long as it takes.
        states: how many states to look at, at most about; None for any number.
        watch: is told how far it is.

    Returns:
        The order with its proof. With more seconds or states it is never worse, nor is the bound.

    Raises:
        SettingError: for a negative limit.
    """
    for name, limit in (("seconds", seconds), ("states", states)):
        if limit is not None and not limit >= 0:
            raise SettingError(name, f"is {limit}", remedy="give at least 0, or None for no limit")
    started = time.perf_counter()
    plain, kept = without_views(computation)
    limits = _Limits(started, float("inf") if seconds is None else seconds, states)
    hunt = _Hunt(plain)
    while not hunt.is_done and not limits.reached(hunt.states):
        hunt.turn(limits)
        if watch is not None:
            watch(hunt.peak, hunt.level, hunt.states)
    found = with_views(computation, [kept[index] for index in hunt.best])
    took = time.perf_counter() - started
    return Order(found, hunt.peak, hunt.level, hunt.states, took, hunt.certificate(kept))


def needs(computation: Computation, order: Sequence[int]) -> list[int]:
    """Bytes that are in use while each operator of an order runs; a view needs none of its own.

    Args:
        computation: with views or without.
        order: indices of the operators.
    """
    memory, number = _tables(computation)
    steps = memory.along(number[index] for index in order if index in number)
    found, live = list[int](), memory.start.live
    for index in order:
        need, live = next(steps) if index in number else (live, live)
        found.append(need)
    return found


def peak_bytes(computation: Computation, order: Sequence[int] | None = None) -> int:
    """The most bytes in use at any time.

    Args:
        computation: with views or without.
        order: indices of the operators; None for the one that it has.
    """
    memory, number = _tables(computation)
    chosen = range(len(computation.operators)) if order is None else order
    return memory.peak(number[index] for index in chosen if index in number)


def _tables(computation: Computation) -> tuple[Memory, dict[int, int]]:
    """The tables without views, and the index there of each operator that is no view."""
    plain, kept = without_views(computation)
    return Memory(plain), {index: position for position, index in enumerate(kept)}


@dataclass(frozen=True, slots=True)
class _Limits:
    """When to stop."""

    started: float
    seconds: float
    states: int | None

    def reached(self, states: int) -> bool:
        """Whether it is time."""
        return time.perf_counter() - self.started >= self.seconds or (self.states is not None and states >= self.states)


class _Hunt:
    """Both directions in turn, and the best order so far."""

    def __init__(self, computation: Computation) -> None:
        self.memory = Memory(computation)
        self.searches = [Search(Memory(computation, backwards=True)), Search(self.memory)]
        self.best = list(range(self.memory.count))
        self.peak = self.memory.peak(self.best)
        self.turns, self.is_bounded = 0, False
        self.widths = [width for width in BEAMS for _ in self.searches]
        for search in self.searches:
            self._offer(beam(search.memory, 1))

    @property
    def states(self) -> int:
        """That both looked at."""
        return sum(search.states for search in self.searches)

    @property
    def level(self) -> int:
        """No order has a smaller peak."""
        return min(self.peak, max(search.level for search in self.searches))

    @property
    def is_done(self) -> bool:
        """Whether the best order is known to be best."""
        return self.level == self.peak

    def turn(self, limits: _Limits) -> None:
        """Let one direction go on for a while."""
        search = self.searches[self.turns % 2]
        left = TURN << (self.turns // 2)
        while left > 0 and not search.is_done and not self.is_done and not limits.reached(self.states):
            search.advance(min(left, SLICE))
            left -= SLICE
        if search.is_done:
            self._offer(search.order())
        elif not limits.reached(self.states):
            self._help(search)
        self.turns += 1

    def certificate(self, kept: list[int]) -> Bottleneck | Exhausted | None:
        """Why no order is below the level, by the operators' indices before views were taken out."""
        if self.level <= self.memory.start.live:
            return None
        used = zip(self.best, self.memory.needs(self.best), strict=True)
        tight = [index for index, need in used if need >= self.level]
        found = bottleneck(self.memory, tight or None)
        if found.bound >= self.level:
            return Bottleneck(kept[found.operator], found.bound, frozenset(kept[index] for index in found.done))
        search = max(self.searches, key=lambda one: one.level)
        proof = search.exhausted()
        return Exhausted(proof.backwards, tuple(tuple(kept[index] for index in run) for run in proof.passed))

    def _help(self, search: Search) -> None:
        """What costs more than easy networks take in all: a bound for each operator, then wider and wider beams."""
        if not self.is_bounded and self.states > STATES_AN_OPERATOR * self.memory.count:
            self.is_bounded = True
            bound = bottleneck(self.memory).bound
            for one in self.searches:
                one.raise_level(bound)
        elif self.is_bounded and self.widths:
            self._offer(beam(search.memory, self.widths.pop(0)))

    def _offer(self, order: list[int]) -> None:
        peak = self.memory.peak(order)
        if peak < self.peak:
            self.best, self.peak = order, peak
