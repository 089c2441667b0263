import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microjoule.scheduling import fast_packing, packing
from microjoule.scheduling.arena import load
from microjoule.scheduling.packing import Sections
from tests.scheduling.random_buffers import buffers_from, buffers_without_a_gap, few_buffers

compiled = pytest.mark.skipif(fast_packing.native is None, reason="_microjoule_packing is not compiled")

many = few_buffers(most=14, moments=9, largest=12).map(lambda buffers: [one for one in buffers if one.size_bytes])


@pytest.mark.slow
@compiled
@settings(max_examples=500)
@given(many, st.integers(-1, 4), st.integers(0, 60), st.randoms(use_true_random=False))
def test_compiled_and_python_do_the_same(buffers, more, max_nodes, source):
    """The same plan, and to the last node the same search."""
    sections, capacity = Sections.of(buffers, 1), load(buffers) + more
    ranks = source.sample(range(len(buffers)), len(buffers))
    limits = {"max_nodes": max_nodes, "seconds": 60.0}
    expected = packing.search(sections, capacity, ranks, **limits)
    assert fast_packing.search(sections, capacity, ranks, **limits) == expected


@compiled
@pytest.mark.parametrize("seed", range(40))
def test_compiled_and_python_go_back_alike(seed):
    sections = Sections.of(buffers_without_a_gap(16, seed=seed), 1)
    limits = {"max_nodes": 2_000, "seconds": 60.0}
    assert fast_packing.search(sections, 24, range(16), **limits) == packing.search(sections, 24, range(16), **limits)


@compiled
def test_compiled_stops_at_its_time():
    sections = Sections.of(buffers_from((0, 1, 1), (0, 1, 2)), 1)
    found = fast_packing.search(sections, 3, [0, 1], max_nodes=9, seconds=0.0)
    assert (found.offsets, found.complete, found.nodes) == (None, False, 1)


@compiled
def test_as_many_as_it_takes_do_not_break_its_stack():
    count = fast_packing.MOST_BUFFERS
    spans, members = ((0, 1),) * count, (tuple(range(count)),)
    sections = Sections((1,) * count, spans, members, ((),) * count)
    assert fast_packing.search(sections, count, range(count), max_nodes=2 * count, seconds=60.0).nodes == count


@pytest.mark.parametrize("change", ["not compiled", "too many", "too large"])
def test_what_compiled_code_cannot_do_python_does(change, monkeypatch):
    if change == "not compiled":
        monkeypatch.setattr(fast_packing, "native", None)
    else:
        monkeypatch.setattr(fast_packing, "native", "not to be called")
    if change == "too many":
        monkeypatch.setattr(fast_packing, "MOST_BUFFERS", 1)
    size = 2**61 + 1 if change == "too large" else 1
    sections = Sections((size, size), ((0, 1), (0, 1)), ((0, 1),), ((1,), (0,)))
    found = fast_packing.search(sections, 2 * size, [0, 1], max_nodes=9, seconds=60.0)
    assert found.offsets == (0, size)
