"""Which units go: at a threshold, within a budget; what is left is counted as it is when it is removed."""

import math

import pytest
import torch

from microjoule.compression.bayesian.choose import choose, choose_within, parameters_left, sizes_of, stays
from microjoule.compression.bayesian.information_bottleneck import BottleneckGate
from microjoule.compression.bayesian.posterior import Posterior
from microjoule.compression.bayesian.prune import _picks, _shrink
from tests.compression.bayesian.networks import lenet


def posterior(seed=0):
    made = Posterior(lenet(), BottleneckGate, noisy=False)
    torch.manual_seed(seed)
    with torch.no_grad():
        for gate in made.gates.values():
            gate.log_variance.copy_(3 * torch.randn_like(gate.log_variance))
    made.detach()
    return made


def test_a_threshold_divides_the_scores():
    made = posterior()
    choice = choose(made, 1.0)
    assert torch.equal(choice.units["first"], made.units["first"].score() < 1.0)
    assert torch.equal(choice.units["hidden"], made.units["hidden"].score() < 1.0)


def test_inputs_go_with_their_unit_and_a_unit_with_its_last_input():
    made = posterior()
    with torch.no_grad():
        made.units["second"].log_variance.copy_(torch.tensor([9.0, -9, -9, -9, -9, -9]))
        made.inputs["hidden"].log_variance.fill_(-9.0)
        made.inputs["hidden"].log_variance[4:8] = 9.0
        made.inputs["hidden"].log_variance[9] = 9.0
    choice = choose(made, 0.0)
    assert choice.units["second"].tolist() == [False, False, True, True, True, True]
    assert choice.inputs["hidden"].nonzero().flatten().tolist() == [8, 10, 11, *range(12, 24)]


def test_the_best_unit_stays_where_all_would_go():
    made = posterior()
    choice = choose(made, -math.inf)
    assert all(int(keep.sum()) == 1 for keep in choice.masks.values())
    assert bool(choice.units["first"][made.units["first"].score().argmin()])
    only = int(choice.inputs["hidden"].nonzero())
    assert bool(choice.units["second"][only // 4])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("compression", [1.5, 4.0, 10.0])
def test_a_budget_is_kept_and_counted_as_it_is_when_removed(seed, compression):
    made = posterior(seed)
    total = sum(p.numel() for p in made.network.module.parameters())
    choice = choose_within(made, compression)
    left = parameters_left(made, choice)
    assert left <= total / compression
    assert left > 0.5 * total / compression
    _shrink(made.network, choice, _picks(made, choice))
    assert sum(p.numel() for p in made.network.module.parameters()) == left


def test_a_budget_that_is_too_small_leaves_one_unit_a_group():
    choice = choose_within(posterior(), 1e6)
    assert all(int(keep.sum()) == 1 for keep in choice.masks.values())


def test_sizes_by_hand():
    made = posterior()
    sizes = sizes_of(made, choose(made, math.inf))
    assert sizes == {"first": 25 + 36 * 6, "second": 4 * 36 + 4 * 12, "hidden": 24 + 2, "hidden inputs": 12}


def test_inputs_of_no_unit_stay():
    assert stays(torch.tensor([True, False]), torch.tensor([0, 2, 1])).tolist() == [True, True, False]
