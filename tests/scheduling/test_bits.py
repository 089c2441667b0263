from hypothesis import given
from hypothesis import strategies as st

from microjoule.scheduling.bits import mask, ones


def test_bit_i_stands_for_operator_i():
    assert mask([0, 3, 5]) == 0b101001
    assert list(ones(0b101001)) == [0, 3, 5]


def test_the_empty_set_is_zero():
    assert mask([]) == 0
    assert list(ones(0)) == []


@given(st.lists(st.integers(0, 200)))
def test_a_set_gives_back_its_members_in_order(indices):
    assert list(ones(mask(indices))) == sorted(set(indices))
