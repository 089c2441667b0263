import math

import pytest
import torch
from torch.testing import assert_close

from microjoule.numerics.elimination import Reader, eliminate
from microjoule.numerics.selection import (
    contributions,
    lasso_entries,
    lasso_order,
    matching_order,
    redundancy_order,
)

ORDERS = (lasso_order, matching_order, redundancy_order)


def plain(weight, second, share=1.0):
    """A reader of units of one input each."""
    count = len(second)
    return Reader(torch.tensor(weight), torch.tensor(second), torch.arange(count)[:, None], share)


def drawn(seed=0, outputs=5, units=6, block=2, fixed=2):
    """A reader of some units and of inputs that stay, with its inputs in any order."""
    chooser = torch.Generator().manual_seed(seed)
    count = units * block + fixed
    x = torch.randn(400, count, generator=chooser, dtype=torch.float64)
    x = x @ (torch.eye(count) + 0.2 * torch.randn(count, count, generator=chooser)).double()
    places = torch.randperm(count, generator=chooser)[: units * block].reshape(units, block)
    weight = torch.randn(outputs, count, generator=chooser, dtype=torch.float64)
    return Reader(weight, x.T @ x / len(x), places)


def supported(support, seed=0, block=2):
    """A reader whose outputs depend on some of six units only."""
    reader = drawn(seed, block=block, fixed=0)
    weight = torch.zeros_like(reader.weight)
    for unit in support:
        weight[:, reader.columns[unit]] = reader.weight[:, reader.columns[unit]]
    return Reader(weight, reader.second, reader.columns)


# All ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
@pytest.mark.parametrize("block", [1, 3])
def test_an_order_has_all_units_but_one_and_is_the_same_again(order, block):
    readers = [drawn(1, block=block), drawn(2, outputs=3, block=block, fixed=0)]
    found = order(readers)
    assert len(found) == len(set(found)) == 5
    assert set(found) < set(range(6))
    assert order(readers) == found


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_units_that_give_nothing_are_ordered_all_the_same(order, share):
    reader = plain([[0.0] * 4], [[0.0] * 4] * 4, share)
    assert len(set(order([reader]))) == 3
    assert set(order([reader])) < {0, 1, 2, 3}


@pytest.mark.parametrize("order", [lasso_order, matching_order], ids=lambda order: order.__name__)
@pytest.mark.parametrize("support", [(0,), (1, 4), (0, 2, 5)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_what_outputs_do_not_depend_on_goes_first(order, support, seed):
    found = order([supported(support, seed)])
    assert set(found[: 6 - len(support)]) == set(range(6)) - set(support)


@pytest.mark.parametrize("order", [lasso_order, matching_order], ids=lambda order: order.__name__)
def test_readers_count_by_their_shares(order):
    one, other = plain([[3.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]), plain([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]])
    heavy = plain([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], 10.0)
    assert order([one, other]) == [1]
    assert order([one, heavy]) == [0]


def test_the_first_that_elimination_takes_costs_no_more_than_any_other():
    for seed in range(5):
        reader = drawn(seed)
        first, least = eliminate([reader])
        alone = [eliminate([reader], [unit])[1][1] for unit in range(len(reader.columns))]
        assert least[1] == pytest.approx(float(min(alone)), rel=1e-12)
        assert first[0] == alone.index(min(alone))


# LASSO ----------------------------------------------------------------------------------------------------------------


def test_contributions_by_hand():
    # y = (2 a + b + c, b) with units {a}, {b, c}; E[aa] = 1, E[bb] = 4, E[cc] = 9, E[ab] = 1, all else 0
    reader = Reader(
        torch.tensor([[2.0, 1.0, 1.0], [0.0, 1.0, 0.0]]),
        torch.tensor([[1.0, 1.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 9.0]]),
        torch.tensor([[0], [1]]),
    )
    expected = torch.tensor([[4.0, 2.0], [2.0, 8.0]], dtype=torch.float64)
    assert_close(contributions([reader], damping=0.0), expected)
    pairs = Reader(reader.weight[:, 1:], reader.second[1:, 1:], torch.tensor([[0, 1]]), share=0.5)
    assert_close(contributions([pairs], damping=0.0), torch.tensor([[0.5 * (8 + 9)]], dtype=torch.float64))
    assert_close(contributions([pairs, pairs], damping=0.0), torch.tensor([[17.0]], dtype=torch.float64))


def test_contributions_add_up_to_the_outputs():
    reader = drawn(3, fixed=0)
    total = torch.trace(reader.weight @ reader.second @ reader.weight.T)
    assert_close(contributions([reader], damping=0.0).sum(), total)


def test_uncorrelated_units_come_by_what_they_give():
    # with G diagonal the factor of u is max(0, 1 - lambda / G_uu): the largest G_uu comes first
    assert lasso_entries(torch.diag(torch.tensor([1.0, 5.0, 3.0])).double()).tolist() == [3, 1, 2]
    reader = plain([[1.0, -(5**0.5), 3**0.5]], torch.eye(3).tolist())
    assert lasso_order([reader], damping=0.0) == [0, 2]


def test_the_first_to_come_is_told_most_of_by_all():
    # G 1 = (4.9, 3.5, 3.4): the first comes, although the others give more alone
    gram = torch.tensor([[1.5, 1.7, 1.7], [1.7, 2.5, -0.7], [1.7, -0.7, 2.4]]).double()
    assert gram.sum(1).argmax() == 0
    assert lasso_entries(gram)[0] == 1


def test_a_factor_that_stays_0_comes_after_the_last_step():
    found = lasso_entries(torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).double())
    assert found[0] == 1
    assert found[2] == 2
    assert found[1] == 3


LEAVING = torch.tensor([[15, 5, -10, 17], [5, 10, -1, -2], [-10, -1, 9, -15], [17, -2, -15, 28]]).double()
"""On whose path a unit leaves again before the last one comes."""


@pytest.mark.parametrize("gram", [contributions([drawn(4)]), LEAVING], ids=["drawn", "leaving"])
def test_entries_are_those_of_the_penalized_problem(gram):
    known, target = gram.tolist(), gram.sum(1).tolist()
    factors, entered = [0.0] * len(known), {}
    for step in range(1, 600):
        penalty = max(map(abs, target)) * 0.99**step
        for unit in list(range(len(known))) * 60:
            row = known[unit]
            left = target[unit] - sum(row[other] * factors[other] for other in range(len(known)) if other != unit)
            factors[unit] = math.copysign(max(0.0, abs(left) - penalty), left) / row[unit]
        for unit in range(len(known)):
            if factors[unit] != 0:
                entered.setdefault(unit, step)
    order = torch.argsort(lasso_entries(gram), stable=True).tolist()
    assert [entered[unit] for unit in order] == sorted(entered.values())
    assert len(set(entered.values())) >= 4


def test_what_never_comes_goes_by_what_it_gives():
    reader = plain([[1.0, 1e-4, 3e-5]], torch.eye(3).tolist())
    assert lasso_entries(contributions([reader], damping=0.0)).tolist() == [1, 2, 2]
    assert lasso_order([reader], damping=0.0) == [2, 1]


def test_two_units_that_tell_the_same_are_no_trouble():
    second = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    reader = Reader(torch.tensor([[1.0, 1.0, 3.0]]), second, torch.arange(3)[:, None])
    assert lasso_order([reader]) in ([0, 1], [1, 0])
    assert sorted(lasso_order([reader], damping=0.0)) in ([0, 1], [0, 2], [1, 2])


# Matching -------------------------------------------------------------------------------------------------------------


def test_matching_by_hand():
    # a, b and c = (a + b) / sqrt(2) + noise; y = 2 a + 2 b. Alone c explains most: R = (2, 2, 2.83 / 1.1) ...
    second = torch.tensor([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])
    reader = Reader(torch.tensor([[2.0, 2.1, 0.0]]), second, torch.arange(3)[:, None])
    # scores 4, 4.41 and (0.7 * 4.1)^2 = 8.24: c; then a is left with 2 - 0.7 * 2.87 = -0.01 and b with 0.09: b
    assert matching_order([reader], damping=0.0) == [0, 1]


def picked_afresh(reader):
    """Orthogonal matching pursuit by a new fit each time."""
    chosen = []
    inner = reader.columns.flatten().tolist()
    fixed = [place for place in range(len(reader.second)) if place not in inner]
    while len(chosen) < len(reader.columns):
        known = fixed + reader.columns[chosen].flatten().tolist()
        cross = reader.weight @ reader.second
        fitted = torch.linalg.solve(reader.second[known][:, known], cross[:, known].T).T
        left = cross - fitted @ reader.second[known]
        scores = []
        for unit, block in enumerate(reader.columns.tolist()):
            own = torch.linalg.inv(reader.second[block][:, block])
            scores.append(-1.0 if unit in chosen else float(torch.trace(left[:, block] @ own @ left[:, block].T)))
        chosen.append(scores.index(max(scores)))
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_picks_are_those_of_a_new_fit_each_time(seed):
    reader = drawn(seed, units=7)
    chosen = picked_afresh(reader)
    assert matching_order([reader], damping=0.0) == chosen[:0:-1]


# Redundancy -----------------------------------------------------------------------------------------------------------


def test_one_of_two_that_are_the_same_goes_first_whatever_its_weight():
    second = torch.tensor([[1.0, 0.1, 0.999], [0.1, 1.0, 0.1], [0.999, 0.1, 1.0]])
    for weight in ([[9.0, 0.1, 9.0]], [[0.0, 5.0, 0.0]], [[0.1, 9.0, 9.0]]):
        assert redundancy_order([plain(weight, second.tolist())])[0] in (0, 2)


def test_redundancy_is_what_the_others_do_not_tell():
    reader = drawn(5, units=5, fixed=1)
    costs = []
    for block in reader.columns.tolist():
        rest = [place for place in range(11) if place not in block]
        between = reader.second[block][:, rest]
        left = reader.second[block][:, block] - between @ torch.linalg.inv(reader.second[rest][:, rest]) @ between.T
        costs.append(float(torch.trace(left)))
    assert redundancy_order([reader], damping=0.0)[0] == costs.index(min(costs))


def test_readers_count_the_same_whatever_their_shares_and_scales():
    # shares of the variance: 1/3 and 2/3, then 20/29 and 9/29, so that 1.02 and 0.98 are lost
    one = plain([[1.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]], 1000.0)
    other = plain([[1.0, 1.0]], [[200.0, 0.0], [0.0, 90.0]])
    assert redundancy_order([one, other], damping=0.0) == [1]
    assert redundancy_order([one], damping=0.0) == [0]
