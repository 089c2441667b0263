"""Does an arena of a given size hold all buffers? A search over canonical plans, which is what `exact` repeats.

Among the plans that fit take one whose offsets have the smallest sum: in it no buffer can lie anywhere lower. Listed by
offset, each of its buffers lies directly on those listed before it. So it is enough to place buffers in the order of
their offsets, each as low as those placed allow, which is its `support`, and to give up as soon as

- a buffer not yet placed would fit below all offsets still to come, or
- those not yet placed no longer fit above each other, in a section: a time at which no other buffers live than these.

How low a buffer not yet placed can lie, `low`, grows in three ways. It lies on what is placed. If it cannot lie
directly on that any more, because offsets have grown beyond, it lies on another one that is not yet placed. And in each
section one buffer must be the lowest; those that start too high for the others to fit above them are not it, and so lie
above the end of the one that is.

When what is left falls into parts that do not live at the same time, each is searched by itself, and if one cannot be
completed, none can.

Source: Moffitt 2023, MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning,
https://doi.org/10.1145/3623278.3624752, for canonical plans, their order, sections and parts; that a buffer lies on
another one not yet placed, and that a section's lowest buffer raises the others, is ours.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from microjoule.scheduling.arena import Buffer

# The problem ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sections:
    """Buffers, and the times that matter: those at which other buffers live than the ones before and after them.

    Args:
        sizes: of each buffer, from 1.
        spans: for each buffer the first of its sections, and the one after its last.
        members: for each section its buffers.
        meeting: for each buffer those that live when it does.
    """

    sizes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, ...], ...]
    meeting: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, buffers: Sequence[Buffer], unit: int) -> Self:
        """The sections of buffers, none of them empty, whose sizes are multiples of the unit."""
        members = tuple(tuple(sorted(living)) for living in _largest_sets(buffers))
        inside: list[list[int]] = [[] for _ in buffers]
        for section, living in enumerate(members):
            for one in living:
                inside[one].append(section)
        return cls(
            sizes=tuple(one.size_bytes // unit for one in buffers),
            spans=tuple((sections[0], sections[-1] + 1) for sections in inside),
            members=members,
            meeting=tuple(
                tuple(index for index, other in enumerate(buffers) if other is not one and one.meets(other))
                for one in buffers
            ),
        )


def _largest_sets(buffers: Sequence[Buffer]) -> Iterator[set[int]]:
    """The sets of buffers that live together, in order of time, without those that are part of another one.

    Such a set is complete when a buffer ends that lives in it, after another one started.
    """
    starts = [(one.lower, True, index) for index, one in enumerate(buffers)]
    ends = [(one.upper, False, index) for index, one in enumerate(buffers)]
    living: set[int] = set()
    grown = False
    for _, starting, index in sorted(starts + ends):
        if starting:
            living.add(index)
        else:
            if grown:
                yield set(living)
            living.remove(index)
        grown = starting


# The search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    Args:
        offsets: of the buffers, or None.
        complete: whether all was searched, so that without offsets there is no plan.
        nodes: partial plans that were looked at.
        blame: for each buffer how often it was left in a section that could not be completed.
    """

    offsets: tuple[int, ...] | None
    complete: bool
    nodes: int
    blame: tuple[int, ...]


def search(sections: Sections, capacity: int, ranks: Sequence[int], *, max_nodes: int, seconds: float) -> Outcome:
    """Look for a plan that fits.

    Args:
        capacity: of the arena, in the unit of the sizes.
        ranks: of each buffer: among those that can lie equally low, the one with the smallest is tried first.
        max_nodes: where to stop.
        seconds: when to stop.
    """
    return _Search(sections, capacity, ranks, max_nodes, time.perf_counter() + seconds).run()


class _StoppedError(Exception):
    """The search has used what it was given."""


@dataclass(frozen=True, slots=True)
class _Partial:
    """A partial plan.

    Args:
        low: for each buffer an offset that it cannot lie below.
        support: for each buffer the highest end of those placed that it meets.
        left: for each section the sizes of its buffers not yet placed.
        waiting: for each buffer whether it is not yet placed.
    """

    low: list[int]
    support: list[int]
    left: list[int]
    waiting: bytearray

    def copy(self) -> "_Partial":
        return _Partial(self.low.copy(), self.support.copy(), self.left.copy(), self.waiting.copy())


Trying = Generator["Trying", bool, bool]
"""A search that asks for a smaller one, by yielding it, and is sent its result: recursion that knows no limit."""


class _Search:
    def __init__(
        self, sections: Sections, capacity: int, ranks: Sequence[int], max_nodes: int, deadline: float
    ) -> None:
        self.sections, self.capacity, self.ranks = sections, capacity, ranks
        self.max_nodes, self.deadline, self.nodes = max_nodes, deadline, 0
        self.offsets = [0] * len(ranks)
        self.blame = [0] * len(ranks)

    def run(self) -> Outcome:
        buffers, sizes, members = len(self.ranks), self.sections.sizes, self.sections.members
        left = [sum(sizes[one] for one in living) for living in members]
        start = _Partial([0] * buffers, [0] * buffers, left, bytearray(b"\1" * buffers))
        waiting = list(range(buffers))
        try:
            found = self._raise_stacked(waiting, start) and _result(self._complete(waiting, start, (0, -1)))
            complete = True
        except _StoppedError:
            found, complete = False, False
        return Outcome(tuple(self.offsets) if found else None, complete, self.nodes, tuple(self.blame))

    def _complete(self, waiting: list[int], partial: _Partial, last: tuple[int, int]) -> Trying:
        """Place all that wait, part by part, after the one with this offset and rank."""
        for part in self._parts(waiting):
            if not (yield self._place_all(part, partial, last)):
                return False
        return True

    def _place_all(self, waiting: list[int], partial: _Partial, last: tuple[int, int]) -> Trying:
        self.nodes += 1
        if self.nodes > self.max_nodes or time.perf_counter() > self.deadline:
            raise _StoppedError
        low, support, sizes = partial.low, partial.support, self.sections.sizes
        lowest_end = min(support[one] + sizes[one] for one in waiting)
        for offset, rank, one in sorted((low[one], self.ranks[one], one) for one in waiting):
            if offset >= lowest_end:
                break
            if (offset, rank) < last or offset > support[one]:
                continue
            others = [other for other in waiting if other != one]
            after = self._placed(one, others, partial)
            if after is not None:
                self.offsets[one] = offset
                if (yield self._complete(others, after, (offset, rank))):
                    return True
        return False

    def _parts(self, waiting: list[int]) -> list[list[int]]:
        """Those that wait, in parts that do not live at the same time: the smaller ones first."""
        parts: list[list[int]] = []
        end = 0
        for one in sorted(waiting, key=lambda one: (self.sections.spans[one][0], one)):
            first, after = self.sections.spans[one]
            if first >= end:
                parts.append([])
            parts[-1].append(one)
            end = max(end, after)
        return sorted(parts, key=len)

    # What follows from a placement ------------------------------------------------------------------------------------

    def _placed(self, one: int, others: list[int], partial: _Partial) -> _Partial | None:
        """The partial plan with one more buffer, or None if it cannot be completed."""
        after = partial.copy()
        offset, size = partial.low[one], self.sections.sizes[one]
        after.waiting[one] = 0
        for section in range(*self.sections.spans[one]):
            after.left[section] -= size
        for other in self.sections.meeting[one]:
            if after.waiting[other]:
                after.support[other] = max(after.support[other], offset + size)
                after.low[other] = max(after.low[other], offset + size)
        fits = self._raise_blocked(offset, self.ranks[one], others, after) and self._raise_stacked(others, after)
        return after if fits else None

    def _raise_blocked(self, offset: int, rank: int, waiting: list[int], after: _Partial) -> bool:
        """Those that can no longer lie on what is placed lie on another one that waits."""
        low, sizes = after.low, self.sections.sizes
        for one in waiting:
            low[one] = max(low[one], offset)
            free = after.support[one] == low[one] and (low[one], self.ranks[one]) > (offset, rank)
            if not free:
                under = [low[other] + sizes[other] for other in self.sections.meeting[one] if after.waiting[other]]
                if not under:
                    return False
                low[one] = max(low[one], min(under))
        return True

    def _raise_stacked(self, waiting: list[int], after: _Partial) -> bool:
        """In each section one is the lowest, with room for the others above it; these lie above its end."""
        low, sizes = after.low, self.sections.sizes
        first = min((self.sections.spans[one][0] for one in waiting), default=0)
        end = max((self.sections.spans[one][1] for one in waiting), default=0)
        for section in range(first, end):
            here = [one for one in self.sections.members[section] if after.waiting[one]]
            if not here:
                continue
            highest = self.capacity - after.left[section]
            ends = [low[one] + sizes[one] for one in here if low[one] <= highest]
            if not ends:
                for one in here:
                    self.blame[one] += 1
                return False
            lowest_end = min(ends)
            for one in here:
                if low[one] > highest:
                    low[one] = max(low[one], lowest_end)
        return True


def _result(search: Trying) -> bool:
    """Run a search and those that it asks for."""
    running: list[Trying] = [search]
    answer: Any = None
    while running:
        try:
            running.append(running[-1].send(answer))
            answer = None
        except StopIteration as done:
            running.pop()
            answer = done.value
    return bool(answer)
