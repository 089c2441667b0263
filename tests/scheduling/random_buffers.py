"""Buffers to place, few of them for laws and many for speed, and the plainest way to find the smallest arena."""

import itertools

from hypothesis import strategies as st

from microjoule.scheduling.arena import Buffer


def buffers_from(*rows):
    """Buffers from rows of (lower, upper, size)."""
    return [Buffer(str(index), *row) for index, row in enumerate(rows)]


@st.composite
def few_buffers(draw, *, most=6, moments=6, largest=5):
    """Up to 6 buffers that live in few moments, so that there are ties, and that most of them meet."""
    life = st.tuples(st.integers(0, moments), st.integers(0, moments)).filter(lambda ends: ends[0] != ends[1])
    rows = draw(st.lists(st.tuples(life, st.integers(0, largest)), max_size=most))
    return buffers_from(*((min(ends), max(ends), size) for ends, size in rows))


def smallest_by_trying_all(buffers):
    """The smallest arena: in one of the orders it comes out if each buffer is placed on all those before that it meets.

    A plan in which nothing can be moved down comes out in the order of its offsets.
    """
    best = sum(one.size_bytes for one in buffers)
    for order in itertools.permutations(buffers):
        ends = {}
        for one in order:
            under = [end for other, end in ends.items() if one.meets(other)]
            ends[one] = max(under, default=0) + one.size_bytes
        best = min(best, max(ends.values(), default=0))
    return best


LOOSE = buffers_from((1, 4, 2), (0, 2, 1), (3, 5, 1), (0, 1, 3), (4, 5, 3), (1, 2, 1), (3, 4, 1))
"""Seven buffers to look at; their names are their places."""
