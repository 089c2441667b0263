"""Divergence of classes: by hand, by law, and where a class has no probability left."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from microjoule.numerics.divergence import (
    LEAST_PROBABILITY,
    are_class_scores,
    are_probabilities,
    class_divergence,
    log_probabilities,
)


def test_the_divergence_by_hand():
    exact = torch.tensor([[math.log(3.0), 0.0], [1.0, 1.0]])  # 3/4 and 1/4; 1/2 and 1/2
    value = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]])  # 1/2 and 1/2; 1/4 and 3/4
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert_close(class_divergence(exact, value), torch.tensor([first, second], dtype=torch.float64))


@given(shift=st.floats(-50, 50), seed=st.integers(0, 2**31))
def test_logits_and_their_probabilities_diverge_alike(shift, seed):
    exact, value = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    by_probabilities = class_divergence(exact.softmax(1), value.softmax(1))
    assert_close(class_divergence(exact + shift, value), by_probabilities)
    assert bool((by_probabilities >= 0).all())


def test_a_class_that_was_rounded_to_nothing_costs_much_and_not_everything():
    exact, value = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    least = LEAST_PROBABILITY
    by_hand = 0.5 * math.log(0.5) + 0.5 * math.log(0.5 / least) + math.log(1 + least)
    assert class_divergence(exact, value).item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (torch.zeros(3, 2), True),
        (torch.zeros(3, 1), False),
        (torch.zeros(3), False),
        (torch.zeros(3, 2, 1), False),
        (torch.zeros(3, 2, dtype=torch.int64), False),
    ],
    ids=["two classes", "one number", "a vector", "a map", "integers"],
)
def test_the_shape_of_scores(outputs, expected):
    assert are_class_scores(outputs) is expected


def test_probabilities_are_told_from_logits():
    assert are_probabilities(torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert not are_probabilities(torch.tensor([[0.25, 0.75], [1.5, -0.5]]))
    assert not are_probabilities(torch.tensor([[0.25, 0.75], [0.5, 0.6]]))


def test_logarithms_of_either_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])
    expected = torch.tensor([[math.log(0.75), math.log(0.25)]])
    assert_close(log_probabilities(logits, normalized=False), expected)
    assert_close(log_probabilities(torch.tensor([[0.75, 0.25]]), normalized=True), expected)
