"""The smallest arena, and the proof that none is smaller.

Whether an arena of one size is enough is a search (`packing`). Mostly the lower bound is tried, which is often enough
and ends everything; now and then the largest size that would be better than the best plan known, or the one halfway. A
plan that is found is the best one then, and a search that was complete without finding one raises the bound.

What a search finds early depends, as if by luck, on which of several buffers it places first, so it is stopped soon and
started anew with them in another order: by length of life, by area (bytes times life), by the load that they live in;
shaken at random, and with those first that were left over where searches failed.

Source: Moffitt 2023, MiniMalloc, https://doi.org/10.1145/3623278.3624752, for the three orders tried in turn;
Boussemart et al. 2004, Boosting Systematic Search by Weighting Constraints, for learning from failures.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microjoule.errors import SettingError
from microjoule.scheduling.arena import Buffer, Plan, aligned, load
from microjoule.scheduling.greedy import greedy_by_size
from microjoule.scheduling.packing import Outcome, Sections, search

TIME_LIMIT_S = 60.0
"""Most networks take milliseconds; MiniMalloc's eleven challenging instances take it 1.6 to 14.2 seconds each."""

NOISE = 0.3
"""Standard deviation of the logarithm of what orders are shaken by."""


@dataclass(frozen=True, slots=True)
class Packing:
    """A plan, and a proved bound on how small another could be.

    Args:
        plan: where the buffers lie.
        bound_bytes: no arena is smaller.
        nodes: partial plans that were looked at.
    """

    plan: Plan
    bound_bytes: int
    nodes: int

    @property
    def optimal(self) -> bool:
        """Whether no arena is smaller than the plan's."""
        return self.plan.size_bytes == self.bound_bytes


def pack(
    buffers: Sequence[Buffer],
    *,
    alignment: int = 1,
    enough_bytes: int = 0,
    time_limit_s: float = TIME_LIMIT_S,
    seed: int = 0,
) -> Packing:
    """Find the smallest arena.

    Args:
        alignment: sizes are rounded up to multiples of it, in bytes, and offsets are multiples.
        enough_bytes: a plan of this size is good enough, even if there may be a smaller one.
        time_limit_s: when to stop; the result is then the best plan found, with a bound that may be below its size.
        seed: of the orders that are tried.

    Raises:
        SettingError: if the alignment is no whole number from 1, or for a negative time limit.
    """
    if not time_limit_s >= 0:
        raise SettingError("time_limit_s", f"got {time_limit_s}", remedy="give 0 or more seconds")
    deadline = time.perf_counter() + time_limit_s
    rounded = aligned(buffers, alignment)
    best, bound = greedy_by_size(rounded), load(rounded)
    sized = [index for index, one in enumerate(rounded) if one.size_bytes]
    if max(bound, enough_bytes) >= best.size_bytes:
        return Packing(best, bound, 0)
    searches = _Searches([rounded[index] for index in sized], seed)
    while best.size_bytes > (goal := max(bound, enough_bytes)) and time.perf_counter() < deadline:
        size = searches.size(goal, best.size_bytes)
        outcome = searches.next(size, deadline - time.perf_counter())
        if outcome.offsets is not None:
            best = _plan(rounded, sized, [offset * searches.unit for offset in outcome.offsets])
        elif outcome.complete:
            bound = max(bound, (size // searches.unit + 1) * searches.unit)
    return Packing(best, min(bound, best.size_bytes), searches.nodes)


def _plan(buffers: Sequence[Buffer], placed: Sequence[int], offsets: Sequence[int]) -> Plan:
    found = dict(zip(placed, offsets, strict=True))
    return Plan.of(buffers, (found.get(index, 0) for index in range(len(buffers))))


class _Searches:
    """Searches for the same buffers, each in another order and with what was learned before."""

    def __init__(self, buffers: Sequence[Buffer], seed: int) -> None:
        self.unit = math.gcd(*(one.size_bytes for one in buffers))
        self.sections = Sections.of(buffers, self.unit)
        self.blame = [1] * len(buffers)
        self.nodes = 0
        self.tries = 0
        self.orders = self._orders(buffers, random.Random(seed))

    def size(self, goal: int, best: int) -> int:
        """Which size to try: mostly the goal, else one that is better than the best."""
        self.tries += 1
        if self.tries % 4:
            return goal
        return (goal + best) // 2 if self.tries % 8 else best - self.unit

    def next(self, size_bytes: int, seconds: float) -> Outcome:
        """Look once for a plan in an arena of this size."""
        ranks, max_nodes = next(self.orders)
        outcome = search(self.sections, size_bytes // self.unit, ranks, max_nodes=max_nodes, seconds=seconds)
        self.blame = [one + more for one, more in zip(self.blame, outcome.blame, strict=True)]
        self.nodes += outcome.nodes
        return outcome

    def _orders(self, buffers: Sequence[Buffer], source: random.Random) -> Iterator[tuple[list[int], int]]:
        """Ranks, and for how many nodes to try them: the first three as they are, each later one shaken."""
        loads = [sum(self.sections.sizes[one] for one in living) for living in self.sections.members]
        total = [max(loads[first:end]) for first, end in self.sections.spans]
        life = [one.upper - one.lower for one in buffers]
        area = [one.size_bytes * length for one, length in zip(buffers, life, strict=True)]
        keys = [(total, life), (total, area), (life, area)]
        tries = 0
        while True:
            first, second = keys[tries % len(keys)]
            noise = NOISE if tries >= len(keys) else 0.0
            worth = [
                (
                    -one * source.lognormvariate(0.0, noise) * (self.blame[index] if noise else 1),
                    -other * source.lognormvariate(0.0, noise),
                )
                for index, (one, other) in enumerate(zip(first, second, strict=True))
            ]
            order = sorted(range(len(buffers)), key=worth.__getitem__)
            ranks = [0] * len(buffers)
            for rank, index in enumerate(order):
                ranks[index] = rank
            yield ranks, 2 * len(buffers) * _patience(tries // len(keys))
            tries += 1


def _patience(turn: int) -> int:
    """1, 1, 2, 1, 1, 2, 4, ...: mostly short tries, and now and then longer ones, without end."""
    turn += 1
    power = turn.bit_length()
    if turn == 2**power - 1:
        return (turn + 1) // 2
    return _patience(turn - 2 ** (power - 1))
