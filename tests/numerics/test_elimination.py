import itertools

import pytest
import torch
from torch.testing import assert_close

from microjoule.numerics.elimination import Reader, eliminate, refitted


def problem(seed=0, outputs=5, units=4, block=3, fixed=2):
    """A reader of some units and of inputs that stay, with its inputs in any order."""
    chooser = torch.Generator().manual_seed(seed)
    count = units * block + fixed
    x = torch.randn(400, count, generator=chooser, dtype=torch.float64)
    x = x @ torch.randn(count, count, generator=chooser, dtype=torch.float64)
    places = torch.randperm(count, generator=chooser)[: units * block].reshape(units, block)
    weight = torch.randn(outputs, count, generator=chooser, dtype=torch.float64)
    return Reader(weight, x.T @ x / len(x), places)


def least_error(reader, units):
    """By a fresh least-squares fit without some units."""
    stay = torch.ones(reader.weight.shape[1], dtype=torch.bool)
    stay[reader.columns[list(units)].flatten()] = False
    known = reader.second
    fitted = torch.zeros_like(reader.weight)
    fitted[:, stay] = torch.linalg.solve(known[stay][:, stay], known[stay] @ reader.weight.T).T
    change = fitted - reader.weight
    return float(torch.trace(change @ known @ change.T))


def test_two_inputs_by_hand():
    # y = 3 a + b with E[aa] = E[bb] = 1, E[ab] = 1/2: without a, b gets 1 + 3/2 and 9 (1 - 1/4) is lost;
    # without b, a gets 3 + 1/2 and 1 (1 - 1/4) is lost.
    reader = Reader(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 0.5], [0.5, 1.0]]), torch.tensor([[0], [1]]))
    order, errors = eliminate([reader], damping=0.0)
    assert order == [1]
    assert_close(errors, torch.tensor([0, 0.75], dtype=torch.float64))
    assert_close(eliminate([reader], [0], damping=0.0)[1], torch.tensor([0, 6.75], dtype=torch.float64))
    fitted = refitted(reader.weight, reader.second, torch.tensor([True, False]), damping=0.0)
    assert_close(fitted, torch.tensor([[3.5]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_a_fresh_fit(seed):
    reader = problem(seed)
    order, errors = eliminate([reader], damping=0.0)
    assert len(order) == 3
    for count in range(4):
        assert_close(float(errors[count]), least_error(reader, order[:count]), rtol=1e-6, atol=1e-9)


def test_the_first_to_go_costs_least():
    reader = problem(4)
    order, errors = eliminate([reader], damping=0.0)
    assert order[0] == min(range(4), key=lambda unit: least_error(reader, [unit]))
    assert errors.diff().min() > 0


@pytest.mark.parametrize("order", [list(order) for order in itertools.permutations(range(4), 2)], ids=str)
def test_a_given_order_is_followed(order):
    reader = problem(5)
    gone, errors = eliminate([reader], order, damping=0.0)
    assert gone == order
    assert_close(float(errors[-1]), least_error(reader, order), rtol=1e-6, atol=1e-9)


def test_readers_add_up_by_their_shares():
    one, other = problem(6), problem(7)
    other = Reader(other.weight, other.second, other.columns, share=0.25)
    order, errors = eliminate([one, other], damping=0.0)
    for count in range(1, 4):
        gone = order[:count]
        assert_close(float(errors[count]), least_error(one, gone) + least_error(other, gone) / 4, rtol=1e-6, atol=1e-9)
    singles = [least_error(one, [unit]) + least_error(other, [unit]) / 4 for unit in range(4)]
    assert order[0] == singles.index(min(singles))


def test_several_go_at_once_where_there_are_many():
    reader = problem(8, units=140, block=1, fixed=0)
    order, errors = eliminate([reader])
    assert sorted({*order}) == sorted(order)
    assert len(order) == len(errors) - 1 == 139
    costs = [float(eliminate([reader], [unit])[1][1]) for unit in order[:2]]
    best = sorted(float(eliminate([reader], [unit])[1][1]) for unit in range(140))[:2]
    assert_close(costs, best)


def test_refitted_is_the_least_error():
    reader = problem(9)
    stay = torch.ones(14, dtype=torch.bool)
    stay[reader.columns[1]] = False
    fitted = torch.zeros(5, 14, dtype=torch.float64)
    fitted[:, stay] = refitted(reader.weight, reader.second, stay, damping=0.0)
    change = fitted - reader.weight
    assert_close(float(torch.trace(change @ reader.second @ change.T)), least_error(reader, [1]))


def test_damping_counts_a_change_of_weights_as_error():
    reader = problem(10)
    assert eliminate([reader], [0], damping=0.5)[1][1] > eliminate([reader], [0], damping=0.0)[1][1]
