import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from microjoule.deploy.integer_values import Added, Clamp, Filled, Integers, Joined, Sums, Term, on_grid, same_grid
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid, Scheme


def affine(scale, zero_point=0, bits=8):
    return Affine(Scheme(IntGrid(bits, signed=False)), tensor(scale), tensor(zero_point, dtype=torch.int32))


def values(centred, scale, zero_point=0):
    return Integers(tensor(centred, dtype=torch.float32), affine(scale, zero_point))


def test_sums_go_to_a_grid_by_hand():
    """-3, 10 and 900 times 0.02 on steps of 0.1 are -0.6, 2 and 180; the zero point is 10, and 8 bits end at 255."""
    sums = Sums(tensor([-3.0, 10.0, 900.0, 9000.0]), tensor(0.02, dtype=torch.float64))
    assert sums.on(affine(0.1, 10)).stored.tolist() == [9, 12, 190, 255]


def test_a_mean_divides_by_its_count():
    sums = Sums(tensor([90.0]), tensor(0.1, dtype=torch.float64), tensor(9.0, dtype=torch.float64))
    assert sums.on(affine(0.1)).stored.tolist() == [10]
    assert_close(sums.reals(), tensor([1.0]))


def test_halves_are_rounded_up():
    sums = Sums(tensor([1.0, 3.0, 5.0]), tensor(0.5, dtype=torch.float64))
    assert sums.on(affine(1.0)).stored.tolist() == [1, 2, 3]


def test_a_clamp_waits_for_the_grid():
    sums = Sums(tensor([-50.0, 5.0, 50.0]), tensor(0.1, dtype=torch.float64)).clamped(0.0, 2.0)
    assert sums.on(affine(0.1, 100)).stored.tolist() == [100, 105, 120]
    assert_close(sums.reals(), tensor([0.0, 0.5, 2.0]))


def test_a_clamp_after_a_clamp_is_as_if_one_came_after_the_other():
    clamp = Clamp().also(0.0, 1.0).also(2.0, 3.0)
    assert_close(clamp.reals(tensor([-1.0, 0.5, 5.0])), tensor([0.5, 0.5, 5.0]).clamp(0, 1).clamp(2, 3))


def test_an_addition_by_hand():
    """10 * 0.1 + 20 * 0.05 = 2 is 20 steps of 0.1, and the zero point 3."""
    added = Added(Term.of(values([10.0], 0.1, 50)), Term.of(values([20.0], 0.05, 7)))
    assert added.on(affine(0.1, 3)).stored.tolist() == [23]
    assert_close(added.reals(), tensor([2.0]))


def test_an_addition_is_clamped():
    a, b = Term.of(values([10.0, -90.0], 0.1, 100)), Term.of(values([20.0, 0.0], 0.05, 7))
    added = Added(a, b).clamped(0.0, 1.5)
    assert added.on(affine(0.1, 3)).stored.tolist() == [18, 3]


def test_joined_parts_go_to_one_grid():
    joined = Joined((values([[10.0]], 0.1), values([[10.0]], 0.2)), lambda parts: torch.cat(parts, 1))
    assert joined.on(affine(0.1)).stored.tolist() == [[10, 20]]
    assert_close(joined.reals(), tensor([[1.0, 2.0]]))


@pytest.mark.parametrize(
    ("term", "steps"),
    [
        (Term.of(values([20.0], 0.05), 2.0), 10 + 20),  # 1 + 2 · 1
        (Term.of(values([20.0], 0.05), -0.5), 10 - 5),
        (Term.constant(0.7), 17),
        (Term.constant(-0.7), 3),
        (Term.constant(0.0), 10),
        (Term.constant(-300.0), -2990),
    ],
)
def test_what_is_added_may_be_multiplied_and_may_be_a_number(term, steps):
    added = Added(Term.of(values([10.0], 0.1)), term)
    assert added.on(affine(0.1, 4000, bits=13)).stored.tolist() == [4000 + steps]
    assert_close(added.reals(), tensor([steps * 0.1]))


def test_a_number_around_a_value_goes_to_the_same_grid():
    """10 steps of 0.1 are 4 of 0.25; 3.5 are 14; the zero point is 2."""
    filled = Filled(values([[10.0]], 0.1, 7), (1, 0), 3.5)
    assert filled.on(affine(0.25, 2)).stored.tolist() == [[16, 6]]
    assert_close(filled.reals(), tensor([[3.5, 1.0]]))


def test_a_number_beyond_the_grid_is_its_end():
    assert Filled(values([[10.0]], 0.1), (1, 0), 99.0).on(affine(0.1)).stored.tolist() == [[255, 10]]


@pytest.mark.parametrize(
    "waiting",
    [
        Joined((values([[10.0]], 0.1), values([[90.0]], 0.1)), lambda parts: torch.cat(parts, 1)),
        Filled(values([[10.0]], 0.1), (0, 1), 9.0),
    ],
)
def test_what_waits_for_a_grid_is_clamped_there(waiting):
    clamped = waiting.clamped(0.0, 3.0)
    assert clamped.on(affine(0.1)).stored.tolist() == [[10, 30]]
    assert_close(clamped.reals(), tensor([[1.0, 3.0]]))


def test_integers_stay_on_their_own_grid_and_move_to_another():
    given = values([10.0], 0.1, 5)
    assert on_grid(given, affine(0.1, 5)).stored.tolist() == [15]
    assert on_grid(given, affine(0.2, 1)).stored.tolist() == [6]


def test_grids_differ_in_bits_scale_or_zero_point():
    assert same_grid(affine(0.1, 5), affine(0.1, 5))
    for other in (affine(0.1, 4), affine(0.2, 5), affine(0.1, 5, bits=7)):
        assert not same_grid(affine(0.1, 5), other)
