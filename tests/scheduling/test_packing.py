import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microjoule.scheduling.arena import Plan, load
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.packing import Sections, search
from tests.scheduling.random_buffers import buffers_from, few_buffers, smallest_by_trying_all


def outcome_of(buffers, capacity, ranks=None, *, max_nodes=10**6, seconds=60.0):
    ranks = range(len(buffers)) if ranks is None else ranks
    return search(Sections.of(buffers, 1), capacity, list(ranks), max_nodes=max_nodes, seconds=seconds)


def test_sections_are_the_largest_sets_that_live_together():
    """At 0 live 0 and 1, at 1 all but 3, at 2 only 2, and at 3 the 2 with 3."""
    sections = Sections.of(buffers_from((0, 2, 6), (0, 2, 4), (1, 4, 2), (3, 4, 8)), 2)
    assert sections.sizes == (3, 2, 1, 4)
    assert sections.members == ((0, 1, 2), (2, 3))
    assert sections.spans == ((0, 1), (0, 1), (0, 2), (1, 2))
    assert sections.meeting == ((1, 2), (0, 2), (0, 1, 3), (2,))


def test_buffers_that_follow_each_other_share_no_section():
    assert Sections.of(buffers_from((0, 1, 1), (1, 2, 1)), 1).members == ((0,), (1,))


def test_a_plan_by_hand():
    """What lives all the time lies below what lives in the halves, or the other way round, as ranks say."""
    buffers = buffers_from((0, 2, 2), (0, 1, 3), (1, 2, 3))
    assert outcome_of(buffers, 5).offsets == (0, 2, 2)
    assert outcome_of(buffers, 5, [2, 1, 0]).offsets == (3, 0, 0)


def test_no_buffers_fit_everywhere():
    found = outcome_of([], 0)
    assert (found.offsets, found.complete) == ((), True)


few = few_buffers(most=6).map(lambda buffers: [one for one in buffers if one.size_bytes])


@settings(max_examples=400)
@given(few, st.integers(-2, 2), st.randoms(use_true_random=False))
def test_a_plan_is_found_whatever_the_ranks_if_and_only_if_there_is_one(buffers, more, source):
    capacity = smallest_by_trying_all(buffers) + more
    ranks = source.sample(range(len(buffers)), len(buffers))
    found = outcome_of(buffers, capacity, ranks)
    assert found.complete
    assert (found.offsets is not None) is (more >= 0 or not buffers)
    if found.offsets is not None:
        assert problems(Plan(found.offsets, max(capacity, 0)), buffers) == []


HARD = buffers_from(*((index % 7, index % 7 + 1 + index * index % 5, 3 + index * 7 % 11) for index in range(24)))


def test_the_search_stops_at_its_nodes():
    assert outcome_of(HARD, load(HARD), max_nodes=0).nodes == 1
    found = outcome_of(HARD, load(HARD), max_nodes=3)
    assert (found.offsets, found.complete, found.nodes) == (None, False, 4)


def test_the_search_stops_at_its_time():
    found = outcome_of(HARD, load(HARD), seconds=0.0)
    assert (found.offsets, found.complete, found.nodes) == (None, False, 1)


def test_those_left_where_nothing_fits_are_blamed():
    """On the 2 below, the 3 and the 4 are 9 high; without it they would be 7, so that one is not to blame."""
    found = outcome_of(buffers_from((0, 1, 2), (0, 1, 3), (0, 1, 4)), 8)
    assert found.offsets is None
    assert found.complete
    assert sum(found.blame) > 0


@pytest.mark.parametrize("count", [600])
def test_more_buffers_than_python_would_recurse(count):
    tower = buffers_from(*((0, 1, 1) for _ in range(count)))
    assert sorted(outcome_of(tower, count).offsets) == list(range(count))
