import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling import search as module
from microjoule.scheduling.bits import ones
from microjoule.scheduling.check import Definitions, exhausted_problems
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.search import Exhausted, Search, forced
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import (
    Naive,
    computation_of,
    for_seeds,
    operator_of,
    smallest_peak,
    smallest_peaks_through,
)
from tests.scheduling.test_bound import BRANCHES

DIRECTIONS = pytest.mark.parametrize("backwards", [False, True])


@pytest.fixture
def _cut_at_every_state(monkeypatch):
    monkeypatch.setattr(module, "CUT_EVERY", 1)


def searched(plain, *, backwards):
    search = Search(Memory(plain, backwards=backwards))
    search.advance(10**6)
    assert search.is_done
    return search


# The search -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_cut_at_every_state")
@DIRECTIONS
@for_seeds(300)
def test_both_directions_find_the_smallest_peak(seed, backwards):
    plain, _ = without_views(random_computation(seed, most=8))
    search, best = searched(plain, backwards=backwards), smallest_peak(plain)
    assert search.level == best
    assert Naive(plain).peak(search.order()) == best
    assert sorted(search.order()) == list(range(len(plain.operators)))


@pytest.mark.usefixtures("_cut_at_every_state")
@DIRECTIONS
@for_seeds(120)
def test_a_best_order_passes_every_set_that_is_committed(seed, backwards):
    plain, _ = without_views(random_computation(seed, most=8))
    search, (before, after) = searched(plain, backwards=backwards), smallest_peaks_through(Naive(plain))
    for done, level in search.commits:
        here = frozenset(ones(search.memory.full ^ done if backwards else done))
        assert max(before[here], after[here]) == search.level >= level


@pytest.mark.usefixtures("_cut_at_every_state")
@DIRECTIONS
@for_seeds(120)
def test_the_proof_by_exhaustion_is_accepted(seed, backwards):
    plain, _ = without_views(random_computation(seed, most=8))
    search = searched(plain, backwards=backwards)
    proof = search.exhausted()
    assert proof.backwards == backwards
    if search.level > Naive(plain).live(set()):
        assert exhausted_problems(Definitions(plain), proof, search.level, states=1000) == []


@pytest.mark.usefixtures("_cut_at_every_state")
def test_some_proofs_pass_sets():
    given = [without_views(random_computation(seed, most=8))[0] for seed in range(120)]
    for backwards in (False, True):
        proofs = [searched(plain, backwards=backwards).exhausted() for plain in given]
        assert sum(bool(one.passed) for one in proofs) > 5


@DIRECTIONS
@for_seeds(60)
def test_the_level_is_a_lower_bound_at_any_time(seed, backwards):
    plain, _ = without_views(random_computation(seed))
    search, best = Search(Memory(plain, backwards=backwards)), smallest_peak(plain)
    level = search.level
    while not search.is_done:
        states = search.states
        search.advance(1)
        assert states <= search.states <= states + 1
        assert level <= search.level <= best
        level = search.level
    states = search.states
    search.advance(5)
    assert (search.states, search.level) == (states, best)


def test_a_search_by_hand():
    """A chain: each set is passed by every order, and the first before the level is known."""
    chain = computation_of([1, 5, 2], [operator_of([0], 1), operator_of([1], 2)], outputs=[2])
    search = searched(chain, backwards=False)
    assert (search.level, search.order(), search.states) == (7, [0, 1], 3)
    assert search.exhausted() == Exhausted(backwards=False, passed=((0,),))


@DIRECTIONS
def test_a_bound_from_elsewhere_raises_the_level(backwards):
    search = Search(Memory(BRANCHES, backwards=backwards))
    search.raise_level(14)
    search.raise_level(3)
    assert search.level == 14
    search.advance(100)
    assert (search.level, Naive(BRANCHES).peak(search.order())) == (14, 14)


def test_a_commit_is_tried_after_some_states(monkeypatch):
    """The cut is not asked for before CUT_EVERY states were looked at since the last time."""
    given = [without_views(random_computation(seed, most=16))[0] for seed in range(20)]
    for every in (1, 2, 4):
        gaps = []
        monkeypatch.setattr(module, "CUT_EVERY", every)
        for plain in given:
            search, asked = Search(Memory(plain)), []
            monkeypatch.setattr(module, "least_live", lambda *_, s=search, at=asked: at.append(s.states) or (-1, 0))
            search.advance(1000)
            gaps += [later - earlier for earlier, later in zip([0, *asked], asked, strict=False)]
        assert min(gaps) == every


def test_commits_save_states(monkeypatch):
    """The more often a cut is tried, the fewer states are left; where it was found, all are."""
    given = [without_views(random_computation(seed, most=16))[0] for seed in range(60)]
    states = []
    for every in (1, 8, 10**9):
        monkeypatch.setattr(module, "CUT_EVERY", every)
        states.append([sum(searched(one, backwards=back).states for one in given) for back in (False, True)])
    assert states == [[723, 578], [849, 608], [918, 635]]


def test_no_state_is_looked_at_twice_at_the_same_level():
    """Independent operators: forwards all 2^n sets would be there, but each frees what it takes."""
    rows = [operator_of([0], one, workspace_bytes=one) for one in range(1, 9)]
    search = searched(computation_of([1] + [0] * 8, rows), backwards=False)
    assert (search.level, search.states) == (9, 9)


# Forced moves ---------------------------------------------------------------------------------------------------------


def state_of(memory, done):
    state = memory.start
    while state.done != done:
        one = next(one for one in ones(state.ready) if done >> one & 1)
        state = memory.follow(one, state, memory.run(one, state)[1])
    return state


@DIRECTIONS
@for_seeds(60)
def test_a_forced_move_loses_nothing(seed, backwards):
    """What could be done within a level can still be done, from every set and at every level that matters."""
    plain, _ = without_views(random_computation(seed, most=6))
    naive, memory = Naive(plain), Memory(plain, backwards=backwards)
    before, after = smallest_peaks_through(naive)
    for done in naive.downsets():
        state = state_of(memory, memory.full ^ bits(done) if backwards else bits(done))
        left = before if backwards else after
        for level in {left[done] - 1, left[done], left[done] + 3}:
            found, run = forced(memory, state, level)
            here = frozenset(ones(memory.full ^ found.done if backwards else found.done))
            assert (left[here] <= level) == (left[done] <= level)
            assert found.live <= state.live
            at = state
            for one in run:
                need, live = memory.run(one, at)
                assert need <= level
                at = memory.follow(one, at, live)
            assert at == found


def bits(done):
    return sum(1 << one for one in done)


def test_forced_moves_by_hand():
    """Up to 2 + 8 + 1 and down to 2 + 3 is a hill that ends higher than it began, so nothing is run.

    From the 9 bytes on the end of their branch frees some; then the other branch is a valley, too.
    """
    memory = Memory(BRANCHES)
    assert forced(memory, memory.start, 100) == (memory.start, [])
    started = state_of(memory, 0b1)
    assert forced(memory, started, 13) == (started, [])
    assert forced(memory, started, 14)[1] == [1, 2, 3, 4]


def test_a_valley_behind_a_hill_is_reached_at_once():
    hill = computation_of(
        [2, 9, 8, 1, 4], [operator_of([0], 1), operator_of([1], 2), operator_of([2], 3)], inputs=[0, 4]
    )
    memory = Memory(hill)
    assert forced(memory, memory.start, 17)[1] == [0, 1, 2]
    assert forced(memory, memory.start, 16)[1] == []
    assert forced(memory, memory.start, 10) == (memory.start, [])


def test_a_valley_is_reached_by_one_path_alone():
    """Where two operators could go on, none is chosen, though the second ends lower."""
    rows = [operator_of([0], 1, 2), operator_of([1], 3), operator_of([2], 4)]
    memory = Memory(computation_of([2, 0, 9, 0, 0], rows))
    assert forced(memory, memory.start, 100) == (memory.start, [])
    assert memory.run(0, memory.start) == (11, 9)
