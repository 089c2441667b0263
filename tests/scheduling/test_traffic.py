import pytest

from benchmarks.random_computations import random_computation
from microjoule.errors import SettingError
from microjoule.scheduling.order import order
from microjoule.scheduling.traffic import traffic_bytes, with_less_traffic
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of
from tests.scheduling.test_views import JOINED

CHAIN = computation_of(
    [4, 3, 5, 2, 1],
    [operator_of([0], 1), operator_of([1], 2), operator_of([2], 3), operator_of([1, 3], 4)],
    outputs=[4],
)
"""Four steps of 4 + 3, 3 + 5, 3 + 5 + 2 and 3 + 2 + 1 bytes; the value of 3 bytes is read in the second and fourth."""

BY_HAND = {
    "all fits": (10, 0),
    "the 3 wait outside while the 2 are made": (9, 3 + 3),
    "they just fit with the 5": (8, 3 + 3),
    "they leave once they were read": (7, 3 + 3),
    "the input goes for nothing": (6, 3 + 3),
    "the 5 do not fit with what they are made of": (4, 3 + 5 + 5 + 3),
    "nothing fits": (0, 4 + 4 + 3 + 3 + 5 + 5 + 2 + 3 + 2 + 1),
}
"""With nothing on the chip the 3 bytes are written once and read twice."""


@pytest.mark.parametrize(("room", "moved"), BY_HAND.values(), ids=BY_HAND)
def test_a_chain_by_hand(room, moved):
    assert traffic_bytes(CHAIN, range(4), room) == moved


def test_what_is_read_again_the_latest_leaves():
    """While the last value but one is made, 2 + 3 bytes wait: the 2 are read later than the 3, so they leave, for 4."""
    operators = [operator_of([0], 1), operator_of([0], 2), operator_of([0], 3), operator_of([2, 3], 4)]
    given = computation_of([1, 2, 3, 4, 0, 0], [*operators, operator_of([1, 4], 5)])
    assert traffic_bytes(given, range(5), 10) == 0
    assert traffic_bytes(given, range(5), 9) == 2 + 2
    assert traffic_bytes(given, range(5), 8) == 2 + 2
    assert traffic_bytes(given, range(5), 7) == 2 + 2 + 3 + 3


def test_a_value_that_is_written_on_is_written_again():
    """Of 6 bytes, added to twice, with 7 bytes made in between."""
    rows = [operator_of([0], 1), operator_of([0], 2), operator_of([2], 3), operator_of([0], 1), operator_of([3], 4)]
    given = computation_of([0, 6, 7, 0, 7, 1], [*rows, operator_of([1, 4], 5)])
    assert traffic_bytes(given, range(6), 13) == 0
    assert traffic_bytes(given, range(6), 12) == 6 + 6 + 6 + 6


def test_a_workspace_takes_room():
    given = computation_of(
        [1, 2, 3, 1], [operator_of([0], 1), operator_of([0], 2, workspace_bytes=4), operator_of([1, 2], 3)]
    )
    assert traffic_bytes(given, range(3), 10) == 0
    assert traffic_bytes(given, range(3), 9) == 2 + 2


def test_what_lies_in_place_takes_room_once():
    given = computation_of([5, 2, 5, 0], [operator_of([0], 1), operator_of([0], 2, inplace=0), operator_of([1, 2], 3)])
    assert traffic_bytes(given, range(3), 7) == 0
    assert traffic_bytes(given, range(3), 6) == 2 + 2
    later = computation_of([5, 2, 5, 0], [operator_of([0], 1), operator_of([0], 2, inplace=0), operator_of([0, 1], 3)])
    assert traffic_bytes(later, range(3), 12) == 0
    assert traffic_bytes(later, range(3), 11) == 2 + 2


def test_in_place_of_more_than_it_is():
    given = computation_of([5, 2, 3, 0], [operator_of([0], 1), operator_of([0], 2, inplace=0), operator_of([1, 2], 3)])
    assert traffic_bytes(given, range(3), 7) == 0
    assert traffic_bytes(given, range(3), 6) == 2 + 2


def test_what_is_accumulated_lies_beside_its_input():
    """With all three values there, the 2 bytes of workspace need 16."""
    rows = [operator_of([], 1), operator_of([0], 2), operator_of([0], 1, inplace=0, workspace_bytes=2)]
    given = computation_of([5, 5, 4, 0], [*rows, operator_of([1, 2], 3)])
    assert traffic_bytes(given, range(4), 16) == 0
    assert traffic_bytes(given, range(4), 15) == 4 + 4


def test_what_is_wanted_stays_until_the_end():
    given = computation_of([1, 5, 5], [operator_of([0], 1), operator_of([0], 2)], outputs=[1])
    assert traffic_bytes(given, range(2), 11) == 0
    assert traffic_bytes(given, range(2), 10) == 5


def test_an_input_that_nobody_uses_takes_no_room():
    given = computation_of([1, 9, 1], [operator_of([0], 2)], inputs=[0, 1])
    assert traffic_bytes(given, [0], 2) == 0


def test_views_move_nothing_of_their_own():
    assert traffic_bytes(JOINED, range(5), 9) == 0
    assert traffic_bytes(JOINED, range(5), 5) == 2 + 2


@for_seeds(200)
def test_an_order_that_fits_moves_nothing(seed):
    given = random_computation(seed)
    run = range(len(given.operators))
    peak = Naive(given).peak(run)
    assert traffic_bytes(given, run, peak) == 0
    assert traffic_bytes(given, run, peak + 1) == 0


@for_seeds(100)
def test_all_that_is_used_moves_if_nothing_fits(seed):
    """Each value is written by each of its writers if it is used again, and read by each of its readers."""
    given = random_computation(seed)
    if any(one.is_view or one.inplace is not None for one in given.operators):
        return
    moved = 0
    for value, writers, readers in zip(given.values, given.writers(), given.readers(), strict=True):
        uses = sorted({*writers, *readers}) + ([len(given.operators)] if value.is_output else [])
        start = [-1] if value.is_input and uses else []
        writes = sum(step < uses[-1] for step in (*start, *writers))
        reads = len({*writers, *readers}) - (0 if value.is_input else 1)
        moved += value.size_bytes * (writes + reads)
    assert traffic_bytes(given, range(len(given.operators)), 0) == moved


def test_room_below_nothing_is_refused():
    with pytest.raises(SettingError, match="onchip_bytes: is -1\n  give at least 0"):
        traffic_bytes(CHAIN, range(4), -1)


# Less of it -----------------------------------------------------------------------------------------------------------


@for_seeds(40)
def test_moving_operators_never_costs(seed):
    given = random_computation(seed)
    run = order(given).order
    naive = Naive(given)
    for share in (0.5, 0.8):
        room = int(share * naive.peak(run))
        found = with_less_traffic(given, run, room, tries=50, seed=seed)
        assert given.in_order(found).name == given.name
        assert sorted(found) == list(range(len(given.operators)))
        assert naive.peak(found) <= naive.peak(run)
        assert traffic_bytes(given, found, room) <= traffic_bytes(given, run, room)


WAITING = computation_of(
    [1, 4, 5, 0, 2, 0],
    [operator_of([0], 1), operator_of([0], 2), operator_of([2], 3), operator_of([1], 4), operator_of([3, 4], 5)],
)
"""The 4 bytes could become 2 before the 5 are made."""


def test_one_move_may_be_enough():
    assert traffic_bytes(WAITING, range(5), 8) == 4 + 4
    found = with_less_traffic(WAITING, range(5), 8, tries=10**9)  # it ends when nothing moves
    assert traffic_bytes(WAITING, found, 8) == 0
    assert found.index(3) < found.index(1) or found.index(2) < found.index(0)


def test_without_a_try_nothing_moves():
    assert with_less_traffic(WAITING, range(5), 8, tries=0) == (0, 1, 2, 3, 4)
    assert with_less_traffic(computation_of([1, 1], [operator_of([0], 1)]), [0], 0) == (0,)


def test_an_order_that_fits_stays():
    assert with_less_traffic(CHAIN, range(4), 10) == (0, 1, 2, 3)
    assert with_less_traffic(JOINED, range(5), 0, tries=0) == (0, 1, 2, 3, 4)
    assert with_less_traffic(WAITING, range(5), 11) == (0, 1, 2, 3, 4)


def test_the_same_seed_gives_the_same_order():
    given = random_computation(3)
    run = range(len(given.operators))
    assert with_less_traffic(given, run, 3, seed=5) == with_less_traffic(given, run, 3, seed=5)
