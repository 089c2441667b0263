import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from microjoule.deploy.fixed_point import fixed_point, high_product, rounding_shift, scaled


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
    ],
)
def test_a_factor_by_hand(factor, multiplier, shift):
    found = fixed_point(tensor(factor, dtype=torch.float64))
    assert (int(found.multiplier), int(found.shift)) == (multiplier, shift)


@pytest.mark.parametrize(
    ("x", "shift", "expected"),
    [(5, 1, 3), (-5, 1, -3), (4, 3, 1), (-4, 3, -1), (3, 3, 0), (-3, 3, 0), (7, 0, 7), (-12, 3, -2), (12, 3, 2)],
)
def test_a_shift_rounds_halves_away_from_zero(x, shift, expected):
    assert int(rounding_shift(tensor(x), tensor(shift))) == expected


@pytest.mark.parametrize(("x", "expected"), [(1, 1), (-1, 0), (3, 2), (-3, -1), (4, 2), (-4, -2), (0, 0)])
def test_a_high_product_rounds_halves_up(x, expected):
    """x * 2^30 / 2^31 is a half of x."""
    assert int(high_product(tensor(x), tensor(2**30))) == expected


def test_an_accumulator_is_scaled_by_hand():
    """1000 * 0.0123 = 12.3, -1000 * 0.0123 = -12.3, 1000 * 3 = 3000."""
    assert scaled(tensor([1000, -1000]), fixed_point(tensor(0.0123, dtype=torch.float64))).tolist() == [12, -12]
    assert int(scaled(tensor(1000), fixed_point(tensor(3.0)))) == 3000


def test_a_factor_above_one_saturates_at_32_bits():
    assert int(scaled(tensor(2**30), fixed_point(tensor(8.0)))) == round((2**31 - 1) / 2)


@given(x=st.integers(-(2**30), 2**30), factor=st.floats(1e-7, 1.0, exclude_max=True))
def test_the_result_is_at_most_one_from_the_real_product(x, factor):
    """Two roundings: half a unit, and half a unit before the shift; the multiplier is wrong by 2^-31 at most."""
    got = int(scaled(tensor(x), fixed_point(tensor(factor, dtype=torch.float64))))
    assert abs(got - x * factor) <= 1.0 + abs(x * factor) * 2.0**-30


def test_each_channel_has_its_factor():
    factor = fixed_point(tensor([0.5, 0.25], dtype=torch.float64).reshape(2, 1))
    assert scaled(tensor([[8, 10], [8, 16]]), factor).tolist() == [[4, 5], [2, 4]]
