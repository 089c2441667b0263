import numpy as np
import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling import cuts
from microjoule.scheduling.bits import mask, ones
from microjoule.scheduling.cuts import least_live
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of

HILL = computation_of([9, 4, 8, 5], [operator_of([0], 1), operator_of([1], 2), operator_of([2], 3)], outputs=[3])
"""Live after none, one, two and three operators: 9, 4, 8 and 5 bytes."""


@pytest.mark.parametrize(
    ("low", "high", "least", "where"),
    [(0, 0b111, 4, 0b1), (0b11, 0b111, 5, 0b111), (0b11, 0b11, 8, 0b11), (0, 0, 9, 0), (0b111, 0b111, 5, 0b111)],
)
def test_the_lowest_point_of_a_chain(low, high, least, where):
    assert least_live(Memory(HILL), low, high) == (least, where)


def test_a_value_that_counts_as_started():
    """With the last output there all the time, the lowest point takes its 5 bytes more."""
    assert least_live(Memory(HILL), 0, 0b111, [3]) == (5, 0b111)
    assert least_live(Memory(HILL), 0, 0b11, [3]) == (9, 0b1)


def test_without_operators_the_inputs_that_are_wanted_are_live():
    assert least_live(Memory(computation_of([5, 7], [], inputs=[0, 1], outputs=[1])), 0, 0) == (7, 0)


def bounds(naive, memory, seed):
    """Some pairs of a downset and one that holds it."""
    downsets = naive.downsets()
    for index, low in enumerate(downsets):
        above = [high for high in downsets if low <= high]
        yield low, above[(seed + 5 * index) % len(above)]


@pytest.mark.parametrize("backwards", [False, True])
@for_seeds(60)
def test_the_cut_is_the_minimum_over_all_sets_between(seed, backwards):
    plain, _ = without_views(random_computation(seed, most=6))
    naive, memory = Naive(plain), Memory(plain, backwards=backwards)
    downsets = naive.downsets()
    for low, high in bounds(naive, memory, seed):
        smallest = min(naive.live(done) for done in downsets if low <= done <= high)
        ends = (memory.full ^ mask(high), memory.full ^ mask(low)) if backwards else (mask(low), mask(high))
        least, found = least_live(memory, *ends)
        done = frozenset(ones(memory.full ^ found if backwards else found))
        assert least == smallest == naive.live(done)
        assert done in downsets
        assert low <= done <= high


@for_seeds(40)
def test_values_of_an_operator_count_as_started_everywhere(seed):
    plain, _ = without_views(random_computation(seed, most=6))
    naive, memory = Naive(plain), Memory(plain)
    earlier, later = memory.closures()
    for one, operator in enumerate(plain.operators):
        high = memory.full & ~later[one] & ~(1 << one)
        between = [done for done in naive.downsets() if not earlier[one] & ~mask(done) and not mask(done) & ~high]
        fresh = [
            naive.live(done)
            + sum(plain.values[it].size_bytes for it in operator.outputs if not naive.writers[it] & done)
            for done in between
        ]
        assert least_live(memory, earlier[one], high, memory.started_by(one))[0] == min(fresh)


@pytest.mark.parametrize("size", [2**31, 2**52, 2**53])
def test_large_sizes_are_rounded_down_a_little(size):
    given = computation_of([size, size - 1, size], [operator_of([0], 1), operator_of([1], 2)], outputs=[2])
    least, done = least_live(Memory(given), 0, 0b11)
    assert size * (1 - 1e-8) <= least <= size - 1
    assert done in (0, 0b1, 0b11)


def test_large_sizes_with_a_common_divisor_are_exact():
    given = computation_of([2**52, 2**50, 2**52], [operator_of([0], 1), operator_of([1], 2)], outputs=[2])
    assert least_live(Memory(given), 0, 0b11) == (2**50, 0b1)


def test_the_largest_flow_is_what_scipy_can_hold():
    assert np.iinfo(np.int32).max == cuts.LARGEST_FLOW


def test_sizes_are_exact_up_to_the_largest_flow(monkeypatch):
    """9 + 4 + 8 + 5 and one more, for edges without an end, are 27."""
    monkeypatch.setattr(cuts, "LARGEST_FLOW", 27)
    assert least_live(Memory(HILL), 0, 0b111)[0] == 4
    monkeypatch.setattr(cuts, "LARGEST_FLOW", 26)
    assert least_live(Memory(HILL), 0, 0b111)[0] == 4
    monkeypatch.setattr(cuts, "LARGEST_FLOW", 8)
    assert least_live(Memory(HILL), 0, 0b111)[0] == 4
    monkeypatch.setattr(cuts, "LARGEST_FLOW", 6)
    assert least_live(Memory(HILL), 0, 0b111)[0] == 0
