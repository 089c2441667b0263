import pytest

from benchmarks.random_computations import random_computation
from microjoule.errors import SettingError
from microjoule.scheduling.dynamic_program import Overrun, best_run, dynamic_program
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, smallest_peak
from tests.scheduling.test_bound import BRANCHES
from tests.scheduling.test_views import JOINED

SETS = 10
"""Of BRANCHES: three places in each branch, and the end."""


def test_two_branches_by_hand():
    run, peak, looked = dynamic_program(BRANCHES)
    assert (peak, looked) == (14, SETS)
    assert Naive(BRANCHES).peak(run) == 14


def test_views_are_placed():
    run, peak, looked = dynamic_program(JOINED)
    assert sorted(run) == [0, 1, 2, 3, 4]
    assert (Naive(JOINED).peak(run), looked) == (peak, 5)


@for_seeds(200)
def test_it_finds_the_smallest_peak(seed):
    given = random_computation(seed)
    run, peak, looked = dynamic_program(given)
    assert peak == smallest_peak(given) == Naive(given).peak(run)
    assert given.in_order(run).name == given.name
    assert looked == len(Naive(without_views(given)[0]).downsets())


def test_without_operators_the_inputs_are_the_peak():
    assert dynamic_program(computation_of([5], [], outputs=[0])) == ((), 5, 1)


def test_more_sets_than_allowed_are_refused():
    message = f"a dynamic program: of c has more than {SETS - 1} sets of operators\n  use microjoule.scheduling.order"
    with pytest.raises(SettingError, match=message):
        dynamic_program(BRANCHES, states=SETS - 1)
    assert dynamic_program(BRANCHES, states=SETS)[1] == 14


# A run ----------------------------------------------------------------------------------------------------------------


def test_a_budget_leaves_out_what_needs_more():
    memory = Memory(BRANCHES)
    ends = (memory.start, memory.full)
    assert best_run(memory, ends, budget=13, states=100) is None
    run, peak, looked = best_run(memory, ends, budget=14, states=100)
    assert (Naive(BRANCHES).peak(run), peak) == (14, 14)
    assert looked < SETS
    with pytest.raises(Overrun):
        best_run(memory, ends, budget=None, states=SETS - 1)


def test_a_run_may_start_and_end_anywhere():
    memory = Memory(BRANCHES)
    state = memory.follow(2, memory.start, 10)
    assert best_run(memory, (state, 0b1101), budget=None, states=100) == ([3, 0], 14, 3 + 1)
    assert best_run(memory, (state, 0b100), budget=None, states=100) == ([], 10, 1)
