import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling.bits import mask
from microjoule.scheduling.dynamic_program import Overrun, best_run, dynamic_program
from microjoule.scheduling.files import read_graph
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.serenity import serenity, waists
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of, smallest_peak
from tests.scheduling.test_bound import BRANCHES

TWICE = computation_of(
    [1, 4, 6, 2, 3, 5, 1],
    [
        operator_of([0], 1),
        operator_of([0], 2),
        operator_of([1, 2], 3),
        operator_of([3], 4),
        operator_of([3], 5),
        operator_of([4, 5], 6),
    ],
)
"""Two diamonds: all that comes later needs the first three operators."""


@for_seeds(200)
def test_it_finds_the_smallest_peak(seed):
    given = random_computation(seed)
    run, peak, _ = serenity(given)
    assert peak == smallest_peak(given) == Naive(given).peak(run)
    assert given.in_order(run).name == given.name


@for_seeds(60)
def test_with_few_sets_a_try_the_budget_is_searched_for(seed):
    given = random_computation(seed)
    best = smallest_peak(given)
    for states in (*range(1, 60), 600):
        try:
            run, peak, _ = serenity(given, states=states)
        except Overrun:
            continue
        assert peak == best == Naive(given).peak(run)
        break
    else:
        pytest.fail("no budget was found")


@for_seeds(100)
def test_it_gives_up_only_if_the_best_budget_does_not_help(seed):
    plain, _ = without_views(random_computation(seed, most=7))
    memory = Memory(plain)
    if len(waists(memory)) != 1:
        return
    best = smallest_peak(plain)
    _, _, enough = best_run(memory, (memory.start, memory.full), budget=best, states=10**6)
    assert serenity(plain, states=enough)[1] == best
    with pytest.raises(Overrun):
        serenity(plain, states=enough - 1)


def test_waists_by_hand():
    assert waists(Memory(TWICE)) == [0b111, 0b111111]
    assert waists(Memory(BRANCHES)) == [0b11111]
    assert waists(Memory(computation_of([1], []))) == []
    loose = computation_of([1, 1, 1], [operator_of([0], 1), operator_of([0], 2)])
    assert waists(Memory(loose)) == [0b11]


@for_seeds(60)
def test_every_order_passes_a_waist(seed):
    plain, _ = without_views(random_computation(seed, most=7))
    downsets = [mask(done) for done in Naive(plain).downsets()]
    for waist in waists(Memory(plain)):
        assert [done for done in downsets if done.bit_count() == waist.bit_count()] == [waist]


def test_parts_take_fewer_sets_than_the_whole():
    """Each diamond has 5 sets and its start; a budget leaves out none of them."""
    run, peak, looked = serenity(TWICE)
    assert (peak, looked) == (12, 10)
    assert run == (0, 1, 2, 3, 4, 5)
    assert dynamic_program(TWICE)[2] == 9


def test_where_no_budget_helps_it_gives_up():
    """Eight sources of 1 to 8 bytes are joined: all 2^8 sets, and with any budget that is enough as many."""
    rows = [operator_of([0], one) for one in range(1, 9)]
    given = computation_of([1, *range(1, 9), 1], [*rows, operator_of(range(1, 9), 9)])
    with pytest.raises(Overrun):
        serenity(given, states=50)
    assert serenity(given, states=300)[1] == 37


@pytest.mark.parametrize(("states", "looked"), [(6, 6 + 6), (7, 7 + 6), (8, 8)])
def test_tries_that_failed_are_counted(states, looked):
    """Without a budget there are 8 sets, with the right one 6."""
    given = random_computation(111)
    assert serenity(given, states=states)[1:] == (smallest_peak(given), looked)
    with pytest.raises(Overrun):
        serenity(given, states=5)


@pytest.mark.parametrize(("name", "peak"), [("swiftnet_a", 200_704), ("swiftnet_b", 81_536), ("swiftnet_c", 32_536)])
def test_cells_are_ordered_as_published(name, peak, data_folder):
    given = read_graph(data_folder / "scheduling" / "graphs" / f"{name}.json")
    assert serenity(given)[1] == peak


def test_without_operators_the_inputs_are_the_peak():
    assert serenity(computation_of([5], [], outputs=[0])) == ((), 5, 0)
