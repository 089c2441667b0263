import pytest

from benchmarks.random_computations import random_computation
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.views import origins, with_views, without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of, random_orders

JOINED = computation_of(
    [1, 2, 3, 5, 5, 4],
    [
        operator_of([0], 1),
        operator_of([0], 2),
        operator_of([1, 2], 3, is_view=True),
        operator_of([3], 4, is_view=True),
        operator_of([4], 5, inplace=4),
    ],
)
"""Two values joined, seen in another shape, and read."""


def test_what_a_view_lies_on():
    assert origins(JOINED) == [(0,), (1,), (2,), (1, 2), (1, 2), (5,)]


def test_a_value_that_is_seen_twice_is_named_once():
    given = computation_of([2, 2, 4], [operator_of([0], 1, is_view=True), operator_of([0, 1], 2, is_view=True)])
    assert origins(given)[2] == (0,)


def test_a_view_of_nothing_takes_no_bytes():
    """As of a weight, which is no value. It is the origin of what is seen in it; in place on it is in place on none."""
    views = [operator_of([], 1, is_view=True), operator_of([1], 2, is_view=True)]
    given = computation_of([5, 5, 5, 5], [*views, operator_of([0, 2], 3, inplace=2)])
    assert origins(given) == [(0,), (1,), (1,), (3,)]
    plain, kept = without_views(given)
    assert (plain.operators, kept) == ((operator_of([0], 3),), [2])
    assert [one.size_bytes for one in plain.values] == [5, 0, 0, 5]


def test_who_reads_a_view_reads_what_it_lies_on():
    plain, kept = without_views(JOINED)
    assert kept == [0, 1, 4]
    assert plain.operators == (JOINED.operators[0], JOINED.operators[1], Operator("o5", (1, 2), (5,)))
    assert plain.values[3] == Value("v3", 0, is_input=True)
    assert [one.size_bytes for one in plain.values] == [1, 2, 3, 0, 0, 4]


def test_what_lies_under_a_wanted_view_is_wanted():
    views = Computation("c", (*JOINED.values[:4], Value("v4", 5, is_output=True)), JOINED.operators[:4])
    plain, _ = without_views(views)
    assert [one.is_output for one in plain.values] == [False, True, True, False, False]
    assert [one.is_input for one in plain.values] == [True, False, False, True, True]


@pytest.mark.parametrize(("size", "place"), [(5, 0), (4, None), (6, 0)])
def test_in_place_on_a_view_is_in_place_on_what_it_lies_on_if_that_has_room(size, place):
    given = computation_of([size, 5, 5], [operator_of([0], 1, is_view=True), operator_of([1], 2, inplace=1)])
    assert without_views(given)[0].operators[0].inplace == place


def test_in_place_on_several_values_is_in_place_on_none():
    join = [operator_of([0, 1], 2, is_view=True), operator_of([2], 3, inplace=2)]
    assert without_views(computation_of([9, 9, 18, 5], join, inputs=[0, 1]))[0].operators[0].inplace is None


def test_a_computation_without_views_stays():
    plain = computation_of([1, 2, 2], [operator_of([0], 1), operator_of([1], 2, inplace=1)], outputs=[2])
    assert without_views(plain) == (plain, [0, 1])


def test_a_view_is_placed_as_soon_as_it_can_be():
    assert with_views(JOINED, [1, 0, 4]) == (1, 0, 2, 3, 4)
    early = computation_of([1, 1, 1], [operator_of([0], 1), operator_of([0], 2, is_view=True)])
    assert with_views(early, [0]) == (1, 0)


@for_seeds(80)
def test_the_same_memory_with_and_without_views(seed):
    given = random_computation(seed)
    plain, kept = without_views(given)
    for order in random_orders(plain, 3, seed=seed):
        whole = with_views(given, [kept[one] for one in order])
        assert given.in_order(whole).operators == tuple(given.operators[one] for one in whole)
        assert Naive(given).peak(whole) == Naive(plain).peak(order)
        assert [one for one in whole if one in kept] == [kept[one] for one in order]
