import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.scheduling.arena import Plan
from microjoule.scheduling.check_plan import problems
from tests.scheduling.random_buffers import buffers_from, few_buffers

TWO = buffers_from((0, 2, 5), (1, 3, 7))


@pytest.mark.parametrize("plan", [Plan((0, 5), 12), Plan((7, 0), 12), Plan((0, 5), 13)])
def test_a_sound_plan_has_no_problems(plan):
    assert problems(plan, TWO) == []


@pytest.mark.parametrize(
    ("plan", "alignment", "fact"),
    [
        (Plan((0,), 12), 1, "places 1 buffers of 2"),
        (Plan((0, 5), 11), 1, "'1' ends at 12, after the arena of 11 bytes"),
        (Plan((0, 4), 12), 1, "'0' and '1' share the bytes 4 to 5 at 1"),
        (Plan((6, 0), 12), 1, "'0' and '1' share the bytes 6 to 7 at 1"),
        (Plan((-1, 5), 12), 1, "'0' starts before the arena, at -1"),
        (Plan((0, 5), 12), 2, "'1' starts at 5, which is no multiple of 2"),
    ],
)
def test_what_is_wrong_is_said(plan, alignment, fact):
    assert problems(plan, TWO, alignment=alignment) == [fact]


def test_buffers_that_never_meet_may_share_bytes():
    assert problems(Plan((0, 0), 7), buffers_from((0, 2, 5), (2, 3, 7))) == []


def test_no_buffers_have_no_problems():
    assert problems(Plan((), 0), []) == []


@given(few_buffers(), st.data())
def test_a_plan_is_sound_if_no_byte_is_used_twice(buffers, data):
    offsets = tuple(data.draw(st.integers(0, 8)) for _ in buffers)
    used = [
        (moment, byte)
        for one, offset in zip(buffers, offsets, strict=True)
        for moment in range(one.lower, one.upper)
        for byte in range(offset, offset + one.size_bytes)
    ]
    assert (problems(Plan(offsets, 100), buffers) == []) is (len(used) == len(set(used)))
