import json
import sys
from functools import partial

import pytest

from benchmarks.random_computations import random_computation
from microjoule.errors import SettingError
from microjoule.scheduling.beam import beam
from microjoule.scheduling.bound import Bottleneck, bottleneck
from microjoule.scheduling.check import result_problems
from microjoule.scheduling.files import read_graph
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.order import needs, order, peak_bytes
from microjoule.scheduling.search import Exhausted, Search
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import (
    Naive,
    computation_of,
    for_seeds,
    operator_of,
    random_orders,
    smallest_peak,
)
from tests.scheduling.test_bound import BRANCHES
from tests.scheduling.test_views import JOINED

KNOWN = {
    "amoebanet_cifar": 331_776,
    "dartsnet_cifar": 377_856,
    "dartsnet_imagenet": 2_985_472,
    "nasnetnet_imagenet": 2_960_384,
    "randwire_ws32_seed0": 15_000,
    "randwire_ws32_seed1": 14_000,
    "randwire_ws32_seed2": 15_000,
    "randwire_ws32_seed3": 18_000,
    "randwire_ws32_seed4": 15_000,
    "swiftnet_a": 200_704,
    "swiftnet_a_rewritten": 188_160,
    "swiftnet_b": 81_536,
    "swiftnet_b_rewritten": 53_312,
    "swiftnet_c": 32_536,
    "swiftnet_c_rewritten": 16_856,
    "swiftnet_whole": 301_056,
    "swiftnet_whole_rewritten": 301_056,
}
"""The smallest peaks: SwiftNet's as published by SERENITY, the others as proved by a second program or by our proof."""


module = sys.modules[order.__module__]
"""The function of the same name hides it."""


@pytest.fixture
def _short_turns(monkeypatch):
    """Turns of one state, so that small computations see all that large ones see."""
    for name, value in {"TURN": 1, "SLICE": 1, "STATES_AN_OPERATOR": 0, "BEAMS": (1, 2)}.items():
        monkeypatch.setattr(module, name, value)


# By hand --------------------------------------------------------------------------------------------------------------


def test_two_branches_by_hand():
    """The larger one first: 2 + 9 + 3 bytes. The other way round it would be 3 + 2 + 9 + 3 with the input there."""
    found = order(BRANCHES)
    assert found.peak == found.lower_bound == 14
    assert found.is_optimal
    assert found.gap == 0
    assert found.certificate == Bottleneck(1, 14, frozenset({0}))
    assert sorted(found.order) == [0, 1, 2, 3, 4]
    assert found.seconds > 0


def test_what_each_operator_needs_by_hand():
    assert needs(BRANCHES, range(5)) == [11, 14, 14, 14, 7]
    assert needs(BRANCHES, [2, 3, 0, 1, 4]) == [11, 13, 14, 15, 7]
    assert peak_bytes(BRANCHES) == 14
    assert peak_bytes(BRANCHES, [2, 3, 0, 1, 4]) == 15


def test_a_view_needs_nothing_of_its_own():
    assert needs(JOINED, range(5)) == [3, 6, 5, 5, 9]
    assert peak_bytes(JOINED) == 9


def test_already_the_inputs_may_be_the_peak():
    given = computation_of([9, 9, 1], [operator_of([0, 1], 2, inplace=0)], inputs=[0, 1], outputs=[2])
    found = order(given)
    assert (found.peak, found.lower_bound, found.certificate) == (18, 18, None)
    assert peak_bytes(given) == 18


def test_without_operators_the_inputs_are_the_peak():
    found = order(computation_of([5, 7], [], inputs=[0, 1], outputs=[1]))
    assert (found.order, found.peak, found.lower_bound, found.states, found.certificate) == ((), 7, 7, 0, None)


def test_nothing_takes_nothing():
    found = order(computation_of([0, 0], [operator_of([0], 1)]))
    assert (found.order, found.peak, found.gap) == ((0,), 0, 0)


def test_the_gap_is_a_share_of_the_peak():
    found = order(BRANCHES, states=0)
    assert found.lower_bound == 2
    assert found.gap == 1 - 2 / found.peak
    assert not found.is_optimal


# Law ------------------------------------------------------------------------------------------------------------------


@for_seeds(200)
def test_the_order_has_the_smallest_peak_and_a_proof(seed):
    given = random_computation(seed)
    found = order(given)
    assert found.peak == found.lower_bound == smallest_peak(given) == Naive(given).peak(found.order)
    assert result_problems(given, found) == []


@pytest.mark.usefixtures("_short_turns")
@for_seeds(100)
def test_in_short_turns_it_is_the_same(seed):
    given = random_computation(seed)
    found = order(given)
    assert found.peak == found.lower_bound == smallest_peak(given)
    assert result_problems(given, found) == []


@pytest.mark.usefixtures("_short_turns")
@for_seeds(60)
def test_with_more_states_neither_peak_nor_bound_is_worse(seed):
    given = random_computation(seed)
    best, peak, bound, states = smallest_peak(given), Naive(given).peak(range(len(given.operators))), 0, 0
    while True:
        found = order(given, states=states)
        assert bound <= found.lower_bound <= best <= found.peak <= peak
        assert found.states <= states
        assert result_problems(given, found) == []
        if found.is_optimal:
            break
        peak, bound, states = found.peak, found.lower_bound, states + 1


@for_seeds(60)
def test_what_operators_need_is_as_defined(seed):
    given = random_computation(seed)
    naive = Naive(given)
    for run in random_orders(given, 3, seed=seed):
        done = [frozenset(run[:step]) for step in range(len(run))]
        assert needs(given, run) == [naive.need(one, before) for one, before in zip(run, done, strict=True)]
        assert peak_bytes(given, run) == naive.peak(run)


@for_seeds(60)
def test_without_states_it_is_the_best_of_the_given_order_and_both_greedy_ones(seed):
    given = random_computation(seed, most=14)
    plain, kept = without_views(given)
    tries = [beam(Memory(plain, backwards=backwards), 1) for backwards in (False, True)]
    peaks = [peak_bytes(plain, one) for one in (range(len(kept)), *tries)]
    assert order(given, states=0).peak == min(peaks)


# Help for hard ones: bounds and beams ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_short_turns")
@for_seeds(60)
def test_after_a_turn_the_bottleneck_is_known(seed):
    given = random_computation(seed, most=14)
    found = order(given, states=2)
    bound = bottleneck(Memory(without_views(given)[0])).bound
    assert found.lower_bound >= min(found.peak, bound)


@pytest.mark.usefixtures("_short_turns")
@for_seeds(40)
def test_without_the_bottleneck_the_searches_prove_their_bounds(seed):
    given = random_computation(seed, most=14)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STATES_AN_OPERATOR", 10**6)
        for states in (2, 5, 9, 16):
            assert result_problems(given, order(given, states=states)) == []


HARD = random_computation(5, most=40)
"""It takes some hundred states."""


@pytest.fixture
def beams(monkeypatch):
    """What beams were asked for: their widths, and whether from the end."""
    asked = []
    monkeypatch.setattr(
        module, "beam", lambda memory, width: asked.append((width, memory.backwards)) or beam(memory, 1)
    )
    monkeypatch.setattr(module, "BEAMS", (3, 5))
    return asked


@pytest.mark.usefixtures("_short_turns")
def test_beams_become_wider_from_both_ends_in_turn(beams):
    order(HARD, states=200)
    assert beams == [(1, True), (1, False), (3, False), (3, True), (5, False), (5, True)]


@pytest.mark.usefixtures("_short_turns")
def test_at_the_limit_there_is_no_more_help(beams):
    order(HARD, states=1)
    assert beams == [(1, True), (1, False)]


@pytest.mark.usefixtures("_short_turns")
def test_bounds_and_beams_wait_for_some_states(beams, monkeypatch):
    count = len(without_views(HARD)[0].operators)
    monkeypatch.setattr(module, "STATES_AN_OPERATOR", 1)
    order(HARD, states=count - 1)
    assert beams == [(1, True), (1, False)]
    order(HARD, states=20 * count)
    assert len(beams) > 4


def test_the_other_direction_gets_its_turn(monkeypatch):
    """Turns of one state, then of two, of four and so on."""
    monkeypatch.setattr(module, "TURN", 1)
    monkeypatch.setattr(module, "SLICE", 1)
    asked = []
    advance = Search.advance
    monkeypatch.setattr(
        Search, "advance", lambda one, states: asked.append(one.memory.backwards) or advance(one, states)
    )
    order(HARD, states=15)
    assert asked[:14] == [True, False, True, True, False, False, *[True] * 4, *[False] * 4]


# The real ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_a_network_is_solved_to_its_known_peak(name, data_folder):
    path = data_folder / "scheduling" / "graphs" / f"{name}.json"
    given = read_graph(path)
    found = order(given)
    assert found.peak == found.lower_bound == KNOWN[name]
    assert peak_bytes(given, found.order) == KNOWN[name]
    known = json.loads(path.read_text()).get("known", {"optimal_peak": KNOWN[name]})
    assert known["optimal_peak"] == KNOWN[name]
    if name.startswith(("randwire", "swiftnet")):
        assert result_problems(given, found) == []


@pytest.mark.parametrize("name", ["swiftnet_a_rewritten", "swiftnet_c_rewritten"])
def test_a_network_has_a_peak_and_a_bound_at_any_time(name, data_folder):
    given = read_graph(data_folder / "scheduling" / "graphs" / f"{name}.json")
    peak, bound = peak_bytes(given), 0
    for states in (0, 64, 400):
        found = order(given, states=states)
        assert bound <= found.lower_bound <= KNOWN[name] <= found.peak <= peak
        peak, bound = found.peak, found.lower_bound


# Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seconds", "states"])
def test_a_limit_that_cannot_be_is_refused(name):
    with pytest.raises(SettingError, match=f"{name}: is -1\n  give at least 0, or None for no limit"):
        order(BRANCHES, **{name: -1})
    with pytest.raises(SettingError, match=f"{name}: is nan"):
        order(BRANCHES, **{name: float("nan")})


@pytest.mark.parametrize("name", ["seconds", "states"])
def test_without_time_it_is_greedy(name):
    found = order(BRANCHES, **{name: 0})
    assert found.states == 0
    assert found.lower_bound == 2
    assert sorted(found.order) == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("_short_turns")
def test_time_that_is_over_ends_the_search(monkeypatch):
    """A clock that goes on by a second at each look."""
    monkeypatch.setattr(module.time, "perf_counter", partial(next, iter(range(100, 10**6))))
    given = random_computation(73)
    few, many = order(given, seconds=3), order(given, seconds=10**5)
    assert few.states < many.states
    assert many.is_optimal
    assert 3 < few.seconds < 9


def test_no_time_is_over_at_once(monkeypatch):
    monkeypatch.setattr(module.time, "perf_counter", lambda: 5.0)
    assert order(BRANCHES, seconds=0).states == 0
    assert order(BRANCHES, seconds=1e-9).is_optimal


@pytest.mark.usefixtures("_short_turns")
def test_who_watches_sees_the_gap_close():
    given = next(one for one in map(random_computation, range(100)) if order(one).states > 6)
    seen = []
    found = order(given, watch=lambda *told: seen.append(told))
    assert len(seen) > 2
    peaks, bounds, states = zip(*seen, strict=True)
    assert list(peaks) == sorted(peaks, reverse=True)
    assert list(bounds) == sorted(bounds)
    assert list(states) == sorted(states)
    assert seen[-1] == (found.peak, found.lower_bound, found.states)


def test_both_kinds_of_proof_are_given():
    kinds = {type(order(random_computation(seed)).certificate) for seed in range(200)}
    assert kinds == {Bottleneck, Exhausted, type(None)}
