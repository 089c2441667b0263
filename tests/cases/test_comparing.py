"""Is a drop real? What every comparison of two networks on labelled data says, and what it refuses."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.cases.interface import Refusal, capture, compare, evaluate, naive, reach

N = 120
X = torch.rand(N, 6, generator=torch.Generator().manual_seed(0))
Y = X.argmax(1)


@pytest.fixture
def network():
    """It takes the largest of six inputs for the class."""
    found = capture(nn.Sequential(nn.Linear(6, 6, bias=False)), X[:2])
    with torch.no_grad():
        next(iter(found.module.parameters())).copy_(torch.eye(6))
    return found


@pytest.fixture
def coarse(network):
    return naive(network, X, activations=4)


def test_an_integer_network_is_held_against_floating_point_sample_by_sample(network, coarse):
    right = coarse(X).argmax(1) == Y
    lost = int((~right).sum())
    assert 5 < lost < N
    exact = evaluate(network, (X, Y), "top1")
    found = evaluate(coarse, (X, Y), "top1", reference=exact).compared
    assert (found.reference_value, found.won, found.lost, found.samples) == (100.0, 0, lost, N)
    assert found.difference == pytest.approx(-100 * lost / N)
    assert found.standard_error == pytest.approx(100 * math.sqrt((lost - lost**2 / N) / (N * (N - 1))))
    assert found.p_value == pytest.approx(2 * 0.5**lost)
    assert found.verdict == "worse"
    assert compare(evaluate(coarse, (X, Y), "top1"), exact).difference == found.difference


def test_one_sample_of_many_is_no_difference_and_is_told_what_would_decide(network):
    other = (torch.cat([X, X[:1]]), torch.cat([Y, Y[:1]]))
    mended = (other[0], torch.cat([Y, (Y[:1] + 1) % 6]))
    exact = evaluate(network, mended, "top1")
    assert exact.value == pytest.approx(100 * N / (N + 1))
    one = network.copy()
    found = evaluate(one, mended, "top1", reference=exact).compared
    assert (found.difference, found.verdict, found.samples_to_decide) == (0.0, "no difference seen", None)
    assert found.high > 0, "equal on these samples is not equal on all"


@pytest.mark.parametrize("change", ["order", "labels", "inputs", "fewer"])
def test_scores_of_other_samples_are_never_paired(network, change):
    order = torch.arange(N).flip(0)
    others = {
        "order": (X[order], Y[order]),
        "labels": (X, (Y + (torch.arange(N) == 7)) % 6),
        "inputs": (X * 1.01, Y),
        "fewer": (X[1:], Y[1:]),
    }
    exact = evaluate(network, (X, Y), "top1")
    with pytest.raises(Refusal, match="samples"):
        evaluate(network, others[change], "top1", reference=exact)


def test_a_loader_that_shuffles_is_never_paired(network, coarse):
    loader = DataLoader(TensorDataset(X, Y), 16, shuffle=True, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match="without shuffle"):
        evaluate(coarse, loader, "top1", reference=evaluate(network, loader, "top1"))


@pytest.mark.parametrize("metric", ["accuracy", 5, None, nn.CrossEntropyLoss, nn.CrossEntropyLoss()])
def test_what_is_no_metric_is_refused_with_the_cause(network, metric):
    with pytest.raises(Refusal):
        evaluate(network, (X, Y), metric)


def test_a_search_chooses_by_some_samples_and_confirms_on_others(network):
    record = reach(network, (X, Y), "top1", drop=5.0).history[-1]
    scores = [one for one in reach(network, (X, Y), "top1", drop=5.0).history if hasattr(one, "samples_id")]
    assert len({one.samples_id for one in scores}) == 2
    assert record.samples + record.confirmed.samples == N
    assert record.confirmed.samples == pytest.approx(N / 2, abs=3)
    assert record.met == (record.confirmed.drop <= 5.0)
    assert record.verdict == record.confirmed.within(5.0)
