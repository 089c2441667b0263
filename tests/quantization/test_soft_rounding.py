"""Soft rounding: by hand, by its inverse, and by derivatives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from microjoule.quantization.soft_rounding import (
    beta_at,
    inverse_rectified_sigmoid,
    rectified_sigmoid,
    regularizer_slope,
)


def test_the_rectified_sigmoid_by_hand():
    """sigmoid(0) = 1/2 gives 1.2 / 2 - 0.1; it is 0 from sigmoid = 1/12 on, and 1 from 11/12 on."""
    v = tensor([0.0, -2.3979, 2.3979, -9.0, 9.0])
    assert_close(rectified_sigmoid(v), tensor([0.5, 0.0, 1.0, 0.0, 1.0]), atol=1e-5, rtol=0)


@given(h=st.floats(0, 1))
def test_its_inverse(h):
    assert_close(rectified_sigmoid(inverse_rectified_sigmoid(tensor(h))), tensor(h), atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [2.0, 7.5, 20.0])
def test_the_regularizers_slope_is_its_derivative(beta):
    h = torch.linspace(0.05, 0.95, 10, dtype=torch.float64, requires_grad=True)
    (1 - (2 * h - 1).abs().pow(beta)).sum().backward()
    assert_close(regularizer_slope(h.detach(), beta), h.grad)


def test_beta_falls_from_20_to_2_after_a_fifth():
    assert [beta_at(share) for share in (0.0, 0.19, 0.2, 0.6, 1.0)] == [None, None, 20.0, pytest.approx(11.0), 2.0]
