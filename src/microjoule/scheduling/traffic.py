"""What an order moves to and from memory off the chip, if little fits on it.

An operator needs what it reads and writes on the chip. Where that is full, the value that is read again the latest
leaves it (Belady): it is written once, unless it lies outside already, and read when it is needed again. What does not
fit even alone passes through. What comes in for the first time and what the caller takes at the end is not counted, so
an order whose peak fits moves nothing.

Source: Belady 1966, A study of replacement algorithms for a virtual-storage computer, IBM Systems Journal 5(2), for the
rule; Ahn et al. 2020, https://arxiv.org/abs/2003.02369, section 4.2, for its use.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence

from microjoule.errors import SettingError
from microjoule.scheduling.computation import Computation, Operator
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.moves import with_one_moved
from microjoule.scheduling.views import with_views, without_views

NEVER = 2**62
"""Later than any step."""


def traffic_bytes(computation: Computation, order: Sequence[int], onchip_bytes: int) -> int:
    """Bytes that an order moves between the chip and memory outside, both ways.

    Args:
        computation: with views or without.
        order: indices of its operators.
        onchip_bytes: what fits on the chip.

    Raises:
        SettingError: for less than no bytes.
    """
    if onchip_bytes < 0:
        raise SettingError("onchip_bytes", f"is {onchip_bytes}", remedy="give at least 0")
    plain, kept = without_views(computation)
    number = {index: position for position, index in enumerate(kept)}
    return _Chip(plain, [number[index] for index in order if index in number], onchip_bytes).moved()


def with_less_traffic(
    computation: Computation, order: Sequence[int], onchip_bytes: int, *, tries: int = 1000, seed: int = 0
) -> tuple[int, ...]:
    """An order with the same peak or less that moves no more, by moving single operators.

    Args:
        computation: with views or without.
        order: indices of its operators.
        onchip_bytes: what fits on the chip.
        tries: moves that are tried.
        seed: of the moves.
    """
    plain, kept = without_views(computation)
    number = {index: position for position, index in enumerate(kept)}
    best = [number[index] for index in order if index in number]
    memory, least = Memory(plain), traffic_bytes(plain, best, onchip_bytes)
    peak = memory.peak(best)
    before, chooser = plain.before(), random.Random(seed)
    for _ in range(tries if len(best) > 1 else 0):
        tried = with_one_moved(best, before, chooser)
        if memory.peak(tried) <= peak and (now := traffic_bytes(plain, tried, onchip_bytes)) <= least:
            best, least = tried, now
        if not least:
            break
    return with_views(computation, [kept[index] for index in best])


class _Chip:
    """What lies on the chip while an order runs."""

    def __init__(self, computation: Computation, order: Sequence[int], onchip_bytes: int) -> None:
        self.computation, self.order, self.room = computation, order, onchip_bytes
        self.sizes = [value.size_bytes for value in computation.values]
        self.writers = [len(found) for found in computation.writers()]
        self.uses: list[list[int]] = [[] for _ in self.sizes]
        for step, index in enumerate(order):
            operator = computation.operators[index]
            for value in {*operator.inputs, *operator.outputs}:
                self.uses[value].append(step)
        for value, one in enumerate(computation.values):
            if one.is_output:
                self.uses[value].append(len(order))
        self.here = {value for value, one in enumerate(computation.values) if one.is_input and self.uses[value]}
        self.outside: set[int] = set()

    def moved(self) -> int:
        """All bytes."""
        total, seen = self._make_room(0, set(), -1), set(self.here) | self.outside
        for step, index in enumerate(self.order):
            operator = self.computation.operators[index]
            needed = {*operator.inputs, *operator.outputs}
            total += sum(self.sizes[value] for value in (needed & seen) - self.here)
            self.outside -= set(operator.outputs)
            seen |= needed
            workspace = operator.workspace_bytes
            if (place := operator.inplace) is not None and self._is_overwritten(operator, step):
                workspace += self.sizes[place] - self.sizes[operator.outputs[0]]
                needed -= {place}
                self.here -= {place}
            total += self._make_room(workspace, needed, step)
            self.here = {value for value in self.here if self._next(value, step) < NEVER}
        return total

    def _is_overwritten(self, operator: Operator, step: int) -> bool:
        """Whether the output lies where an input lies that nobody uses again."""
        alone = self.writers[operator.outputs[0]] == 1
        return alone and operator.inplace is not None and self._next(operator.inplace, step) == NEVER

    def _make_room(self, workspace: int, needed: set[int], step: int) -> int:
        """Bytes that are written so that what is needed fits."""
        self.here |= needed
        written, excess = 0, sum(self.sizes[value] for value in self.here) + workspace - self.room
        leaving = sorted(self.here, key=lambda value: (value not in needed, self._next(value, step)), reverse=True)
        for value in leaving:
            if excess <= 0:
                break
            excess -= self.sizes[value]
            self.here.discard(value)
            if self._next(value, step) < NEVER and value not in self.outside:
                written += self.sizes[value]
                self.outside.add(value)
        return written

    def _next(self, value: int, step: int) -> int:
        """The step after one at which a value is used again."""
        uses = self.uses[value]
        place = bisect_right(uses, step)
        return uses[place] if place < len(uses) else NEVER
