import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import DataError
from microjoule.numerics.affine import affine_from_range, fake_quantize
from microjoule.numerics.error import equal_share, kl_divergence, sqnr_db, steps_apart, within_share
from microjoule.numerics.grid import IntGrid, Scheme

weights = st.lists(st.floats(0.01, 10), min_size=4, max_size=4)


def test_sqnr_by_hand():
    reference = torch.tensor([3.0, -4.0])  # power 25
    assert sqnr_db(reference, torch.tensor([3.0, -3.5])) == pytest.approx(20.0)  # noise 0.25
    assert sqnr_db(reference, torch.zeros(2)) == pytest.approx(0.0)


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_each_bit_is_worth_six_decibels(bits):
    """A uniform signal over 2^b cells has a power of (2^b step)^2 / 12, the noise step^2 / 12: 20 b log10(2)."""
    x = torch.linspace(-1, 1, 1_000_001, dtype=torch.float64)
    half = 1 - 2.0**-bits
    affine = affine_from_range(torch.tensor(-half), torch.tensor(half), Scheme(IntGrid(bits)))
    assert sqnr_db(x, fake_quantize(x, affine)) == pytest.approx(20 * bits * math.log10(2), abs=1.3)


def test_sqnr_without_noise_or_without_signal():
    assert sqnr_db(torch.ones(3), torch.ones(3)) == math.inf
    assert sqnr_db(torch.zeros(3), torch.zeros(3)) == math.inf
    assert sqnr_db(torch.zeros(3), torch.ones(3)) == -math.inf


def test_steps_apart_by_hand_even_if_the_type_would_wrap_around():
    assert steps_apart(torch.tensor([0, 255], dtype=torch.uint8), torch.tensor([3, 255], dtype=torch.uint8)) == 3
    assert steps_apart(torch.tensor([-128], dtype=torch.int8), torch.tensor([127], dtype=torch.int8)) == 255


def test_shares_by_hand():
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 2.5, 2.5, 6.0])
    assert equal_share(a, b) == 0.25
    assert within_share(a, b, tolerance=0.5) == 0.75
    assert within_share(a, b, tolerance=0.0) == 0.25


def test_nan_is_equal_to_nothing():
    assert equal_share(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0])) == 0.5
    assert within_share(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0]), tolerance=1.0) == 0.5


def test_divergence_by_hand():
    p, q = torch.tensor([[1.0, 1.0], [4.0, 0.0]]), torch.tensor([[1.0, 3.0], [1.0, 1.0]])
    by_hand = [0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75), math.log(2)]
    assert kl_divergence(p, q).tolist() == pytest.approx(by_hand)


def test_divergence_is_infinite_where_q_lacks_what_p_has():
    assert kl_divergence(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])) == math.inf
    assert kl_divergence(torch.tensor([1.0, 1.0]), torch.zeros(2)) == math.inf
    assert kl_divergence(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])) == 0.0


@given(p=weights, q=weights, scale=st.floats(0.1, 10))
def test_divergence_is_not_negative_and_knows_no_scale(p, q, scale):
    p, q = torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)
    assert kl_divergence(p, q) >= 0
    assert float(kl_divergence(p, p * scale)) == pytest.approx(0, abs=1e-12)
    assert float(kl_divergence(p, q * scale)) == pytest.approx(float(kl_divergence(p, q)), abs=1e-12)


@pytest.mark.parametrize("measure", [sqnr_db, steps_apart, equal_share, kl_divergence])
def test_shapes_that_differ_are_refused(measure):
    with pytest.raises(DataError, match=r"shapes \(2,\) and \(1,\) differ"):
        measure(torch.ones(2, dtype=torch.int32), torch.ones(1, dtype=torch.int32))


def test_no_values_are_refused():
    with pytest.raises(DataError, match="has no values"):
        equal_share(torch.empty(0), torch.empty(0))


def test_steps_of_floats_are_refused():
    with pytest.raises(DataError, match=r"got torch\.float32, expected integers"):
        steps_apart(torch.ones(2, dtype=torch.int32), torch.ones(2))
