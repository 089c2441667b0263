import random
from dataclasses import replace

import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling.bound import Bottleneck, bottleneck
from microjoule.scheduling.check import (
    Definitions,
    bottleneck_problems,
    defined_peak,
    exhausted_problems,
    order_problems,
    result_problems,
)
from microjoule.scheduling.files import read_graph
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.order import order
from microjoule.scheduling.search import Exhausted
from microjoule.scheduling.views import with_views, without_views
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

RESULT = order(BRANCHES)

# Orders ---------------------------------------------------------------------------------------------------------------

WRONG_ORDERS = {
    "two swapped": ([1, 0, 2, 3, 4], ["runs operator 'o2' before 'o1', which it needs"]),
    "the last first": (
        [4, 0, 1, 2, 3],
        ["runs operator 'o5' before 'o2', which it needs"],
    ),
    "one twice": ([0, 0, 1, 2, 3, 4], ["runs operator 'o1' twice"]),
    "one left out": ([0, 1, 2, 3], ["leaves out operator 'o5'"]),
    "one that is needed left out": (
        [0, 1, 2, 4],
        ["runs operator 'o5' before 'o4', which it needs", "leaves out operator 'o4'"],
    ),
    "one that is not there": ([0, 1, 2, 3, 4, 5], ["names operator 5 of 5"]),
    "one below the first": ([0, 1, 2, 3, 4, -1], ["names operator -1 of 5"]),
}


@pytest.mark.parametrize(("run", "wrong"), WRONG_ORDERS.values(), ids=WRONG_ORDERS)
def test_a_wrong_order_is_refused(run, wrong):
    assert order_problems(BRANCHES, run) == wrong
    assert order_problems(BRANCHES, run, 14) == wrong
    assert result_problems(BRANCHES, replace(RESULT, order=tuple(run)))[: len(wrong)] == wrong


def test_an_order_that_can_run_is_accepted():
    assert order_problems(BRANCHES, range(5)) == []
    assert order_problems(BRANCHES, range(5), 14) == []


@pytest.mark.parametrize("peak", [13, 15])
def test_a_peak_off_by_one_is_refused(peak):
    wrong = [f"says that its peak is {peak} bytes, but it is 14"]
    assert order_problems(BRANCHES, range(5), peak) == wrong
    assert result_problems(BRANCHES, replace(RESULT, peak=peak))[:1] == wrong


def test_an_order_with_views_is_checked():
    assert order_problems(JOINED, [1, 0, 2, 3, 4], 9) == []
    assert order_problems(JOINED, [1, 0, 3, 2, 4]) == ["runs operator 'o4' before 'o3', which it needs"]


@for_seeds(60)
def test_the_peak_is_as_defined(seed):
    given = random_computation(seed)
    for run in random_orders(given, 3, seed=seed):
        assert defined_peak(given, run) == Naive(given).peak(run)
        assert order_problems(given, run, Naive(given).peak(run)) == []


def test_what_is_accumulated_does_not_lie_in_place():
    given = Definitions(computation_of([5, 5], [operator_of([0], 1, inplace=0), operator_of([], 1)]))
    assert given.reusable(0) == 0
    assert given.need(0, frozenset()) == 10


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_a_sound_result_is_accepted():
    assert result_problems(BRANCHES, RESULT) == []


def test_a_bound_above_the_peak_is_refused():
    wrong = result_problems(BRANCHES, replace(RESULT, lower_bound=15))
    assert wrong == [
        "says that no order has a peak below 15, but has 14 itself",
        "operator 'o2' can run with 14 bytes, not 15",
    ]


@pytest.mark.parametrize("bound", [3, 14])
def test_a_bound_without_a_proof_is_refused(bound):
    wrong = result_problems(BRANCHES, replace(RESULT, lower_bound=bound, certificate=None))
    assert wrong == [f"says that no order has a peak below {bound} and gives no proof"]


def test_the_inputs_are_a_proof():
    assert result_problems(BRANCHES, replace(RESULT, lower_bound=2, certificate=None)) == []


def test_a_bottleneck_elsewhere_is_refused():
    elsewhere = Bottleneck(3, 14, frozenset())
    wrong = result_problems(BRANCHES, replace(RESULT, certificate=elsewhere))
    assert wrong == ["operator 'o4' can run with 13 bytes, not 14"]


@pytest.mark.parametrize("index", [-1, 2, 3, 5])
def test_a_proof_by_what_is_no_operator_is_refused(index):
    """Operators 2 and 3 are views."""
    wrong = [f"names operators [{index}] in its proof, which are views or not there"]
    assert bottleneck_problems(Definitions(JOINED), Bottleneck(index, 9, frozenset()), 9) == wrong
    proof = Exhausted(backwards=False, passed=((index,),))
    assert exhausted_problems(Definitions(JOINED), proof, 9, states=100) == wrong


@for_seeds(80)
def test_a_bottleneck_bounds_as_much_as_the_search_says(seed):
    plain, _ = without_views(random_computation(seed, most=7))
    given, memory, best = Definitions(plain), Memory(plain), smallest_peak(plain)
    for one in range(len(plain.operators)):
        found = bottleneck(memory, [one])
        proof = Bottleneck(one, found.bound, found.done)
        assert bottleneck_problems(given, proof, found.bound) == []
        name = plain.operators[one].name
        for bound in {found.bound + 1, best + 1}:
            assert bottleneck_problems(given, proof, bound) == [
                f"operator {name!r} can run with {found.bound} bytes, not {bound}"
            ]


# Proofs by exhaustion -------------------------------------------------------------------------------------------------

FORWARDS = {
    "nothing": ([], 14, []),
    "too high a bound": ([], 15, ["there is an order below 15 bytes"]),
    "a set that all pass": ([[0, 1, 2, 3]], 14, ["there is an order below 14 bytes"]),
    "what cannot run": ([[1]], 14, ["operator 'o2' cannot run where the proof lets it"]),
    "what ran already": ([[0, 0]], 14, ["operator 'o1' cannot run where the proof lets it"]),
    "what needs the bound": ([[0, 1]], 14, ["operator 'o2' needs 14 bytes or more on the way"]),
    "what leaves more": ([[2, 3]], 14, ["a set on the way leaves 2 bytes live, fewer than 5 at its end"]),
    "what leaves more at first": (
        [[0], [1]],
        15,
        ["a set on the way leaves 2 bytes live, fewer than 11 at its end"],
    ),
}


@pytest.mark.parametrize(("passed", "bound", "wrong"), FORWARDS.values(), ids=FORWARDS)
def test_a_proof_from_the_start(passed, bound, wrong):
    proof = Exhausted(backwards=False, passed=tuple(map(tuple, passed)))
    assert exhausted_problems(Definitions(BRANCHES), proof, bound, states=100) == wrong


BACKWARDS = {
    "nothing": ([], 14, []),
    "too high a bound": ([], 15, ["there is an order below 15 bytes"]),
    "a set that all pass": ([[4]], 14, []),
    "what cannot run": ([[4], [2]], 14, ["operator 'o3' cannot run where the proof lets it"]),
    "what needs the bound": ([[4], [3, 1]], 14, ["operator 'o4' needs 14 bytes or more on the way"]),
    "what leaves more": ([[4], [3]], 15, ["a set on the way leaves 6 bytes live, fewer than 11 at its end"]),
}


@pytest.mark.parametrize(("passed", "bound", "wrong"), BACKWARDS.values(), ids=BACKWARDS)
def test_a_proof_from_the_end(passed, bound, wrong):
    """Before the last there are 3 + 3 bytes; before the end of the branch of 8 there are 3 + 8."""
    proof = Exhausted(backwards=True, passed=tuple(map(tuple, passed)))
    assert exhausted_problems(Definitions(BRANCHES), proof, bound, states=100) == wrong


SHRINKING = computation_of(
    [5, 5, 3, 1, 9, 1, 0],
    [
        operator_of([0], 2),
        operator_of([2], 3),
        operator_of([1], 4),
        operator_of([4], 5),
        operator_of([3, 5], 6),
    ],
    inputs=[0, 1],
)
"""Two branches from 5 bytes to 1: by way of 3, which takes 10 + 3 bytes; then by way of 9, which takes 6 + 9."""


def test_a_set_that_leaves_the_least_may_be_passed():
    """From 10 bytes to 8 and 6, within 15; from there all need 15."""
    proof = Exhausted(backwards=False, passed=((0, 1),))
    assert smallest_peak(SHRINKING) == 15
    assert exhausted_problems(Definitions(SHRINKING), proof, 15, states=3) == []
    assert exhausted_problems(Definitions(SHRINKING), proof, 13, states=100) == [
        "operator 'o2' needs 13 bytes or more on the way"
    ]


def test_a_proof_of_too_many_states_is_not_accepted():
    proof = Exhausted(backwards=False, passed=())
    assert exhausted_problems(Definitions(BRANCHES), proof, 14, states=0) == [
        "the proof could not be checked with 0 states"
    ]
    result = replace(RESULT, certificate=proof)
    assert result_problems(BRANCHES, result) == []
    assert result_problems(BRANCHES, result, states=1) == ["the proof could not be checked with 1 states"]


@pytest.mark.parametrize("backwards", [False, True])
@for_seeds(150)
def test_no_proof_of_a_bound_that_is_too_high_is_accepted(seed, backwards):
    """Whatever sets it says to have passed: there is no such proof."""
    plain, _ = without_views(random_computation(seed, most=7))
    given, best, chooser = Definitions(plain), smallest_peak(plain), random.Random(seed)
    for run in random_orders(plain, 3, seed=seed):
        passed = run[::-1] if backwards else list(run)
        if chooser.random() < 0.3:
            chooser.shuffle(passed)
        first, second = sorted(chooser.choices(range(len(run) + 1), k=2))
        proof = Exhausted(backwards, (tuple(passed[:first]), tuple(passed[first:second])))
        for bound in (best + 1, best + 9):
            assert exhausted_problems(given, proof, bound, states=10_000) != []


@pytest.mark.parametrize("backwards", [False, True])
@for_seeds(100)
def test_all_orders_are_a_proof_of_the_smallest_peak(seed, backwards):
    """But where already the inputs, or what is left at the end, take as much."""
    plain, _ = without_views(random_computation(seed, most=7))
    naive, best = Naive(plain), smallest_peak(plain)
    if best > naive.live(set()):
        assert exhausted_problems(Definitions(plain), Exhausted(backwards, ()), best, states=1000) == []


# The real ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swiftnet_a", "swiftnet_c_rewritten", "randwire_ws32_seed1"])
def test_a_changed_result_of_a_network_is_refused(name, data_folder):
    given = read_graph(data_folder / "scheduling" / "graphs" / f"{name}.json")
    found = order(given)
    assert result_problems(given, found) == []
    assert result_problems(given, replace(found, peak=found.peak + 1)) != []
    assert result_problems(given, replace(found, peak=found.peak - 1)) != []
    raised = replace(found, lower_bound=found.lower_bound + 1, peak=found.peak)
    assert len(result_problems(given, raised)) == 2
    needed = next(iter(given.before()[found.order[-1]]))
    swapped = [{needed: found.order[-1], found.order[-1]: needed}.get(one, one) for one in found.order]
    assert result_problems(given, replace(found, order=tuple(swapped))) != []


def test_a_proof_names_operators_as_they_are_with_views():
    given = next(
        one
        for one in map(random_computation, range(200))
        if one.operators[0].is_view and isinstance(order(one).certificate, Bottleneck)
    )
    found = order(given)
    assert result_problems(given, found) == []
    plain, kept = without_views(given)
    assert found.certificate.operator in kept
    assert with_views(given, [one for one in found.order if one in kept]) == found.order
    assert plain.operators[kept.index(found.certificate.operator)].name == (
        given.operators[found.certificate.operator].name
    )


def test_a_cut_counts_what_starts_and_what_stays():
    given = Definitions(
        computation_of([9, 4, 8, 5], [operator_of([0], 1), operator_of([1], 2), operator_of([2], 3)], outputs=[3])
    )
    everything = frozenset(range(3))
    assert given.least_live(frozenset(), everything) == 4
    assert given.least_live(frozenset({0, 1}), everything) == 5
    assert given.least_live(frozenset(), frozenset()) == 9
    assert given.least_live(frozenset(), frozenset({0, 1}), [3]) == 9
