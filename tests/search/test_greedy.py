import pytest
from hypothesis import given

from microjoule.search import greedy, knapsack
from microjoule.search.choice import Choice, check
from tests.search.problems import problem_of, problems, whole_numbers

TABLES = [[(0.0, 8.0), (1.0, 4.0), (4.0, 2.0)], [(0.0, 8.0), (2.0, 4.0), (3.0, 2.0)]]
"""Loss per saving is 1/4 to the first group's second option and 3/2 from there; in the other 1/2 and 1/2."""


@pytest.mark.parametrize(
    ("budget", "picked"),
    [(16.0, (0, 0)), (15.0, (1, 0)), (12.0, (1, 0)), (11.0, (1, 1)), (7.0, (1, 2)), (5.0, (2, 2)), (4.0, (2, 2))],
)
def test_the_walk_by_hand(budget, picked):
    problem = problem_of(TABLES, budget)
    assert greedy.solve(problem) == Choice.of(problem, picked)


def test_a_step_may_leave_an_option_out():
    problem = problem_of([[(0.0, 4.0), (3.0, 3.0), (4.0, 0.0)]], 3.5)
    assert greedy.solve(problem).picked == (2,)


def test_it_starts_with_the_least_loss_and_the_cheaper_of_two():
    problem = problem_of([[(1.0, 9.0), (0.0, 5.0), (0.0, 4.0), (0.0, 4.0), (0.5, 1.0)]], 9.0)
    assert greedy.solve(problem).picked == (2,)


def test_of_equal_steps_the_one_that_saves_less_is_taken_then_the_first():
    large = [(0.0, 4.0), (2.0, 2.0)]
    small = [(0.0, 4.0), (1.0, 3.0), (1.0, 3.0)]
    assert greedy.solve(problem_of([large, small, small], 11.5)).picked == (0, 1, 0)


def test_the_first_step_that_fits_may_be_a_bad_one():
    """One step that saves much at a good price, where a small one was enough."""
    problem = problem_of([[(0.0, 10.0), (5.0, 0.0)], [(0.0, 1.0), (1.0, 0.0)]], 10.0)
    assert greedy.solve(problem).loss == 5.0
    assert knapsack.solve(problem).loss == 1.0


@given(problem=problems())
def test_it_keeps_the_budget(problem):
    assert check(problem, greedy.solve(problem)) == []


@given(problem=problems(whole_numbers))
def test_it_is_at_most_one_step_worse_than_the_relaxation(problem):
    relaxed = knapsack.solve(problem, max_states=0).bound
    losses = [[option.loss for option in group.options] for group in problem.groups]
    assert greedy.solve(problem).loss <= relaxed + max(max(of) - min(of) for of in losses) + 1e-9
