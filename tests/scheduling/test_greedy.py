import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.scheduling.arena import Plan, load
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.greedy import greedy_by_size
from tests.scheduling.random_buffers import buffers_from, few_buffers, smallest_by_trying_all


def test_the_largest_comes_first():
    assert greedy_by_size(buffers_from((0, 2, 5), (1, 3, 7))) == Plan((7, 0), 12)


def test_among_equals_the_earlier_comes_first():
    assert greedy_by_size(buffers_from((1, 3, 5), (0, 2, 5))).offsets == (5, 0)


@pytest.mark.parametrize("size", [6, 7])
def test_the_smallest_gap_that_is_large_enough_is_taken(size):
    """When the last one comes, there is a gap of 9 bytes from 20 on, and one of 6 or 7 from 37 on."""
    buffers = buffers_from((0, 2, 20), (0, 1, 9), (0, 2, 8), (0, 1, size), (0, 2, 6), (1, 2, 6))
    assert greedy_by_size(buffers) == Plan((0, 20, 29, 37, 37 + size, 37), 43 + size)


def test_no_buffers_take_no_arena():
    assert greedy_by_size([]) == Plan((), 0)


def test_an_alignment_that_cannot_be_is_refused():
    with pytest.raises(SettingError, match="alignment"):
        greedy_by_size([], alignment=0)


@given(few_buffers(), st.integers(1, 4))
def test_the_plan_is_sound_and_aligned(buffers, alignment):
    plan = greedy_by_size(buffers, alignment=alignment)
    assert problems(plan, buffers, alignment=alignment) == []


@given(few_buffers(most=5))
def test_the_arena_is_no_smaller_than_the_smallest(buffers):
    assert greedy_by_size(buffers).size_bytes >= smallest_by_trying_all(buffers) >= load(buffers)
