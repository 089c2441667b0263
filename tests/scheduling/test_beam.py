import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling.beam import beam
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of, smallest_peak

TRAP = computation_of(
    [2, 3, 9, 9, 6], [operator_of([0], 1), operator_of([0], 2), operator_of([2], 3), operator_of([1], 4)], outputs=[4]
)
"""The first branch starts small and ends in 6 bytes, which stay while the other one takes 18."""


def test_greedy_takes_the_smallest_peak_and_then_the_fewest_bytes_left():
    given = computation_of([0, 3, 2, 2], [operator_of([0], 1), operator_of([0], 2), operator_of([2], 3)])
    assert beam(Memory(given), 1) == [1, 2, 0]
    even = computation_of([1, 0, 5], [operator_of([], 1, workspace_bytes=5), operator_of([0], 2)])
    assert beam(Memory(even), 1) == [1, 0]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("width", [1, 2, 16])
@for_seeds(15)
def test_the_operators_of_a_beam_can_run(seed, width, backwards):
    plain, _ = without_views(random_computation(seed))
    order = beam(Memory(plain, backwards=backwards), width)
    assert sorted(order) == list(range(len(plain.operators)))
    assert plain.in_order(order).name == plain.name


@pytest.mark.parametrize("backwards", [False, True])
@for_seeds(60)
def test_a_beam_as_wide_as_there_are_sets_finds_the_smallest_peak(seed, backwards):
    plain, _ = without_views(random_computation(seed))
    order = beam(Memory(plain, backwards=backwards), 512)
    assert Naive(plain).peak(order) == smallest_peak(plain)


def test_a_wider_beam_sees_past_more():
    naive = Naive(TRAP)
    assert smallest_peak(TRAP) == 20
    assert [naive.peak(beam(Memory(TRAP), width)) for width in (1, 2, 3)] == [24, 21, 20]


def test_nothing_is_ordered_to_nothing():
    assert beam(Memory(computation_of([1], [])), 1) == []
