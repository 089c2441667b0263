import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.scheduling.arena import Plan, aligned, load
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.exact import _patience, pack
from microjoule.scheduling.greedy import greedy_by_size
from tests.scheduling.random_buffers import buffers_from, few_buffers, smallest_by_trying_all

TIGHT = buffers_from(*((index % 7, index % 7 + 1 + index * index % 5, 3 + index * 7 % 11) for index in range(24)))
"""Greedy leaves 12 % more than the load."""


@settings(max_examples=200, deadline=None)
@given(few_buffers())
def test_the_arena_is_the_smallest_of_all(buffers):
    found = pack(buffers)
    assert problems(found.plan, buffers) == []
    assert found.plan.size_bytes == found.bound_bytes == smallest_by_trying_all(buffers)
    assert found.optimal


@settings(deadline=None)
@given(few_buffers(most=12, moments=8, largest=20), st.integers(1, 4), st.integers(0, 3))
def test_the_arena_lies_between_its_bound_and_the_greedy_one(buffers, alignment, seed):
    found = pack(buffers, alignment=alignment, seed=seed)
    rounded = aligned(buffers, alignment)
    assert problems(found.plan, rounded, alignment=alignment) == []
    assert load(rounded) <= found.bound_bytes <= found.plan.size_bytes
    assert found.plan.size_bytes <= greedy_by_size(buffers, alignment=alignment).size_bytes
    assert found.optimal


def test_no_buffers_take_no_arena():
    assert pack([]).plan == Plan((), 0)


def test_buffers_of_no_bytes_lie_at_the_start():
    assert pack(buffers_from((0, 1, 0), (0, 1, 5), (0, 1, 0))).plan == Plan((0, 0, 0), 5)


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_without_time_it_is_the_greedy_plan_with_the_load_as_its_bound(seconds):
    found = pack(TIGHT, time_limit_s=seconds)
    assert found.plan == greedy_by_size(TIGHT)
    assert found.bound_bytes == load(TIGHT) < found.plan.size_bytes
    assert not found.optimal


def test_a_plan_that_is_enough_ends_the_search():
    best, greedy = pack(TIGHT).plan.size_bytes, greedy_by_size(TIGHT).size_bytes
    assert best < greedy - 1
    found = pack(TIGHT, enough_bytes=greedy - 1)
    assert best <= found.plan.size_bytes < greedy
    assert pack(TIGHT, enough_bytes=greedy).nodes == 0


def test_the_same_seed_gives_the_same_plan():
    assert pack(TIGHT, seed=3) == pack(TIGHT, seed=3)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_that_cannot_be_is_refused(seconds):
    with pytest.raises(SettingError, match="time_limit_s"):
        pack([], time_limit_s=seconds)


def test_an_alignment_that_cannot_be_is_refused():
    with pytest.raises(SettingError, match="alignment"):
        pack([], alignment=0)


def test_patience_is_mostly_short_and_grows_without_end():
    assert [_patience(turn) for turn in range(15)] == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]
