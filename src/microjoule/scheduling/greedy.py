"""Place the largest buffer first, each in the smallest gap that it fits: quick, and seldom the smallest arena.

This is what TensorFlow Lite does when a model is loaded, so its arena is what people get today.

Source: Pisarchyk and Lee 2020, Efficient Memory Management for Deep Neural Net Inference,
https://arxiv.org/abs/2001.03288, section 5 ("greedy by size for offset calculation").
"""

from collections.abc import Iterable, Sequence

from microjoule.scheduling.arena import Buffer, Plan, aligned


def greedy_by_size(buffers: Sequence[Buffer], *, alignment: int = 1) -> Plan:
    """Place buffers one after the other, the largest first; among equals the one that lives earlier.

    Args:
        alignment: sizes are rounded up to multiples of it, in bytes, and offsets are multiples.

    Raises:
        SettingError: if the alignment is no whole number from 1.
    """
    rounded = aligned(buffers, alignment)
    offsets: dict[int, int] = {}
    for index in sorted(range(len(rounded)), key=lambda one: (-rounded[one].size_bytes, rounded[one].lower, one)):
        new = rounded[index]
        meeting = ((rounded[one], offset) for one, offset in offsets.items() if new.meets(rounded[one]))
        taken = [(offset, offset + one.size_bytes) for one, offset in meeting]
        offsets[index] = _smallest_gap(sorted(taken), new.size_bytes)
    return Plan.of(rounded, (offsets[index] for index in range(len(rounded))))


def _smallest_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    """Where the smallest gap starts that is large enough, or what is taken ends."""
    best, smallest, free = None, 0, 0
    for start, end in taken:
        gap = start - free
        if gap >= size and (best is None or gap < smallest):
            best, smallest = free, gap
        free = max(free, end)
    return free if best is None else best
