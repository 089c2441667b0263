import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from microjoule.deploy.fixed_point import fixed_point, scaled


@pytest.mark.parametrize(
    ("factor", "multiplier", "shift"),
    [
        (0.5, 2**30, 0),
        (0.25, 2**30, -1),
        (1.0, 2**30, 1),
        (0.75, 3 * 2**29, 0),
        (3.0, 3 * 2**29, 2),
        (1 - 2.0**-40, 2**30, 1),  # its mantissa rounds up to 2^31
        (2.0**-40, 0, 0),
        (2.0**-32, 2**30, -31),
        (2.0**-32 - 2.0**-60, 0, 0),
    ],
)
def test_a_factor_by_hand(factor, multiplier, shift):
    found = fixed_point(tensor(factor, dtype=torch.float64))
    assert (int(found.multiplier), int(found.shift)) == (multiplier, shift)


@pytest.mark.parametrize(("x", "expected"), [(1, 1), (-1, 0), (3, 2), (-3, -1), (4, 2), (-4, -2), (0, 0)])
def test_halves_are_rounded_up(x, expected):
    assert int(scaled(tensor(x), fixed_point(tensor(0.5)))) == expected


def test_it_rounds_once():
    """383 * 0.00391 = 1.4975 is 1; rounded to 2^-8 first, it would be 383 / 256 = 1.496 to 192 / 128 = 1.5, then 2."""
    assert int(scaled(tensor(383), fixed_point(tensor(0.00391, dtype=torch.float64)))) == 1
    assert int(scaled(tensor(191), fixed_point(tensor(0.0078, dtype=torch.float64)))) == 1


def test_an_accumulator_is_scaled_by_hand():
    """1000 * 0.0123 = 12.3, -1000 * 0.0123 = -12.3, 1000 * 3 = 3000."""
    assert scaled(tensor([1000, -1000]), fixed_point(tensor(0.0123, dtype=torch.float64))).tolist() == [12, -12]
    assert int(scaled(tensor(1000), fixed_point(tensor(3.0)))) == 3000


def test_a_factor_above_one_saturates_at_32_bits():
    assert scaled(tensor([2**30, -(2**30)]), fixed_point(tensor(8.0))).tolist() == [2**31 - 1, -(2**31)]


@given(x=st.integers(-(2**30), 2**30), factor=st.floats(1e-7, 1.0, exclude_max=True))
def test_the_result_is_at_most_half_from_the_real_product(x, factor):
    """One rounding of half a unit; the multiplier is wrong by 2^-31 at most."""
    got = int(scaled(tensor(x), fixed_point(tensor(factor, dtype=torch.float64))))
    assert abs(got - x * factor) <= 0.5 + abs(x * factor) * 2.0**-30


def test_each_channel_has_its_factor():
    factor = fixed_point(tensor([0.5, 0.25], dtype=torch.float64).reshape(2, 1))
    assert scaled(tensor([[8, 10], [8, 16]]), factor).tolist() == [[4, 5], [2, 4]]
