import random
from collections import Counter

from benchmarks.random_computations import random_computation
from microjoule.scheduling.moves import with_one_moved
from tests.scheduling.random_computations import for_seeds, random_orders


class Chosen:
    """Draws what it was told, and remembers between what."""

    def __init__(self, at, to):
        self.at, self.to, self.asked = at, to, []

    def randrange(self, count):
        self.asked.append(count)
        return self.at

    def randint(self, first, last):
        self.asked.append((first, last))
        return self.to


BEFORE = [set(), {0}, set(), {1, 2}, {3}]
"""0 -> 1 -> 3 -> 4, and 2 -> 3."""


def test_a_move_by_hand():
    """In 0 2 1 3 4 operator 1 may stand behind 0 and before 3; in 2 0 1 3 4 operator 2 anywhere before 3."""
    middle = Chosen(at=2, to=1)
    assert with_one_moved([0, 2, 1, 3, 4], BEFORE, middle) == [0, 1, 2, 3, 4]
    assert middle.asked == [5, (1, 2)]
    first = Chosen(at=0, to=2)
    assert with_one_moved([2, 0, 1, 3, 4], BEFORE, first) == [0, 1, 2, 3, 4]
    assert first.asked == [5, (0, 2)]
    last = Chosen(at=4, to=4)
    assert with_one_moved([0, 1, 2, 3, 4], BEFORE, last) == [0, 1, 2, 3, 4]
    assert last.asked == [5, (4, 4)]


def test_operators_that_need_nothing_go_everywhere():
    chooser, given = random.Random(0), [0, 1, 2]
    found = Counter(tuple(with_one_moved(given, [(), (), ()], chooser)) for _ in range(500))
    assert set(found) == {(0, 1, 2), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)}
    assert given == [0, 1, 2]


def test_one_operator_alone_stays():
    assert with_one_moved([0], [()], random.Random(0)) == [0]


@for_seeds(100)
def test_the_order_can_still_run_and_all_but_one_stay(seed):
    given, chooser = random_computation(seed), random.Random(seed)
    before = given.before()
    for run in random_orders(given, 3, seed=seed):
        moved = with_one_moved(run, before, chooser)
        assert set(given.in_order(moved).operators) == set(given.operators)
        assert any([one for one in run if one != it] == [one for one in moved if one != it] for it in run)
