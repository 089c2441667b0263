"""`packing.search` as compiled code, where it was compiled: the same outcome, some hundred times as fast.

An installation compiles it (src/native/packing.cpp). Run from the source tree alone, the search is the one in Python.
"""

from collections.abc import Sequence

from microjoule.scheduling import packing
from microjoule.scheduling.packing import Outcome, Sections

try:
    import _microjoule_packing as native
except ModuleNotFoundError:
    native = None

LARGEST_SUM = 2**62
"""Compiled code adds sizes in 64 bits with a sign."""

MOST_BUFFERS = 5_000
"""Compiled code calls itself for each buffer, and its stack ends; that many take a fifth of the usual 8 MB."""


def search(sections: Sections, capacity: int, ranks: Sequence[int], *, max_nodes: int, seconds: float) -> Outcome:
    """As `packing.search`."""
    if native is None or len(ranks) > MOST_BUFFERS or max(capacity, sum(sections.sizes)) > LARGEST_SUM:
        return packing.search(sections, capacity, ranks, max_nodes=max_nodes, seconds=seconds)
    lists = sections.sizes, sections.spans, sections.members, sections.meeting
    offsets, complete, nodes, blame = native.search(*lists, capacity, ranks, max_nodes, seconds)
    return Outcome(None if offsets is None else tuple(offsets), complete, nodes, tuple(blame))
