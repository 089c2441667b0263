"""Hard-concrete gates: by hand, and probabilities against draws."""

import math

import pytest
import torch
from torch.testing import assert_close

from microjoule.compression.bayesian.hard_concrete import (
    EDGE,
    HardConcreteGate,
    fixed_gate,
    hard_concrete,
    open_probability,
)

ODDS = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])


def test_gates_by_hand():
    """At u = 1/2, sigmoid(log alpha / beta): at log alpha = beta log 3 it is 3/4, stretched to 0.8."""
    odds = torch.tensor([0.0, 2 / 3 * math.log(3), 5.0, -5.0])
    assert_close(hard_concrete(odds, torch.tensor(0.5)), torch.tensor([0.5, 0.8, 1.0, 0.0]))
    assert_close(fixed_gate(torch.tensor([0.0, math.log(3), 9.0, -9.0])), torch.tensor([0.5, 0.8, 1.0, 0.0]))


def test_the_probability_of_an_open_gate_is_that_of_draws():
    torch.manual_seed(0)
    drawn = hard_concrete(ODDS, torch.rand(400_000, 1).clamp(EDGE, 1 - EDGE))
    assert_close((drawn > 0).float().mean(0), open_probability(ODDS), atol=0.003, rtol=0)


def test_the_probability_by_hand():
    """sigmoid(-beta log(1 / 11)) = 11^(2/3) / (1 + 11^(2/3))."""
    expected = 11 ** (2 / 3) / (1 + 11 ** (2 / 3))
    assert open_probability(torch.tensor(0.0)).item() == pytest.approx(expected)


def test_a_gate_is_pruned_where_it_is_0_once_trained():
    gate = HardConcreteGate(3)
    edge = -math.log(11)
    with torch.no_grad():
        gate.log_odds.copy_(torch.tensor([edge - 0.01, edge + 0.01, 0.0]))
    fixed = gate.fixed()
    assert (fixed == 0).tolist() == (gate.score() >= 0).tolist() == [True, False, False]
    assert torch.equal(gate.eval()(5), fixed[None])
    assert_close(gate.divergence(), open_probability(gate.log_odds))
    drawn = gate.train()(1000)
    assert drawn.shape == (1000, 3)
    assert {0.0, 1.0} <= set(drawn[:, 2].tolist())


def test_the_number_of_open_gates_has_a_gradient():
    gate = HardConcreteGate(3)
    gate.divergence().sum().backward()
    assert (gate.log_odds.grad > 0).all()
