from benchmarks.random_computations import random_computation
from microjoule.scheduling.bits import mask
from microjoule.scheduling.bound import Bottleneck, bottleneck
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of, smallest_peak

BRANCHES = computation_of(
    [2, 9, 3, 8, 3, 1],
    [
        operator_of([0], 1),
        operator_of([1], 2),
        operator_of([0], 3, workspace_bytes=1),
        operator_of([3], 4),
        operator_of([2, 4], 5),
    ],
    outputs=[5],
)
"""The branch of 9 bytes first takes 2 + 9 + 3, then 3 + 2 + 8 + 1; the branch of 8 first 3 + 2 + 9 with the input."""


def test_the_tightest_operator_by_hand():
    """From 9 to 3 bytes takes 12, and 2 of the input are still there; without them 3 of the other branch are."""
    assert bottleneck(Memory(BRANCHES)) == Bottleneck(1, 14, frozenset({0}))
    assert smallest_peak(BRANCHES) == 14


def test_only_some_operators_may_be_looked_at():
    assert bottleneck(Memory(BRANCHES), [3]) == Bottleneck(3, 13, frozenset({2}))
    assert bottleneck(Memory(BRANCHES), [4]) == Bottleneck(4, 7, frozenset({0, 1, 2, 3}))
    assert bottleneck(Memory(BRANCHES), []) == Bottleneck(0, 0, frozenset())


def test_among_equals_the_first_is_named():
    given = computation_of([1, 1, 1], [operator_of([0], 1), operator_of([1], 2)])
    assert bottleneck(Memory(given)).operator == 0


def test_an_output_in_place_is_taken_off():
    given = computation_of([5, 5], [operator_of([0], 1, inplace=0, workspace_bytes=3)])
    assert bottleneck(Memory(given)).bound == 8


def test_without_operators_there_is_no_bound():
    assert bottleneck(Memory(computation_of([5], []))) == Bottleneck(0, 0, frozenset())


@for_seeds(120)
def test_each_operator_needs_as_much_in_every_order(seed):
    plain, _ = without_views(random_computation(seed, most=7))
    naive, memory = Naive(plain), Memory(plain)
    downsets = naive.downsets()
    for index, one in enumerate(plain.operators):
        found = bottleneck(memory, [index])
        can_run = [done for done in downsets if index not in done and naive.before[index] <= done]
        assert found.bound <= min(naive.need(index, done) for done in can_run)
        if one.inplace is None and found.bound:
            assert found.bound == min(naive.need(index, done) for done in can_run) == naive.need(index, found.done)
            assert found.operator == index
    assert bottleneck(memory).bound <= smallest_peak(plain)
    assert mask(bottleneck(memory).done) <= memory.full
