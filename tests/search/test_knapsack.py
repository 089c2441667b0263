import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp

from microjoule.errors import SettingError
from microjoule.search import greedy
from microjoule.search.choice import Certified, Choice, Problem, check
from microjoule.search.knapsack import solve
from tests.search.problems import best_by_trying_all, problem_of, problems, random_problem, whole_numbers, worth

# By hand --------------------------------------------------------------------------------------------------------------

TWO = [[(0.0, 4.0), (8.0, 0.0)], [(0.0, 4.0), (4.0, 0.0)]]
"""The first group's step saves a loss of 2 for each unit of cost, the second's saves 1."""


@pytest.mark.parametrize(
    ("budget", "picked", "loss"), [(8, (0, 0), 0), (7, (0, 1), 4), (4, (0, 1), 4), (3, (1, 1), 12), (0, (1, 1), 12)]
)
def test_the_choice_by_hand(budget, picked, loss):
    solution = solve(problem_of(TWO, budget))
    assert (solution.picked, solution.loss, solution.bound, solution.optimal) == (picked, loss, loss, True)


@pytest.mark.parametrize(("budget", "bound", "loss"), [(8, 0, 0), (6, 2, 4), (4, 4, 4), (3, 6, 12), (0, 12, 12)])
def test_the_relaxation_by_hand(budget, bound, loss):
    """With 6 units the first group keeps its cost of 4, and the second one half of it."""
    solution = solve(problem_of(TWO, budget), max_states=0)
    assert (solution.bound, solution.loss, solution.states) == (bound, loss, 0)


def test_the_relaxation_goes_along_the_hull():
    """The option (7, 2) is above the line from (8, 0) to (0, 4), and on the hull no more, but it can be picked."""
    problem = problem_of([[(0.0, 4.0), (7.0, 2.0), (8.0, 0.0)]], 2.0)
    assert solve(problem, max_states=0).bound == 4.0
    assert solve(problem).loss == 7.0


def test_the_search_leaves_the_relaxation():
    """The relaxation rounded down takes the first group's dear option, and then nothing else fits."""
    problem = problem_of([[(0.0, 6.0), (7.0, 0.0)], [(0.0, 5.0), (5.0, 0.0)], [(0.0, 5.0), (5.0, 0.0)]], 10.0)
    assert solve(problem, max_states=0).picked == (0, 1, 1)
    assert solve(problem).picked == (1, 0, 0)


def test_one_group_of_one_option():
    assert solve(problem_of([[(3.0, 2.0)]], 2.0)) == Certified((0,), 3.0, 2.0, bound=3.0, states=1)


def test_a_negative_limit_is_refused():
    with pytest.raises(SettingError, match="max_states: got -1\n  give 0 or more"):
        solve(problem_of(TWO, 8.0), max_states=-1)


# Sums are rounded once ------------------------------------------------------------------------------------------------


def test_ten_tenths_are_within_one():
    """Exactly, ten of the floats 0.1 are a little more than 1."""
    problem = problem_of([[(1.0, 0.0), (0.0, 0.1)]] * 10, 1.0)
    assert solve(problem).picked == (1,) * 10


def test_three_tenths_are_above_three_tenths():
    """To three of the floats 0.1 another float is nearer than 0.3."""
    problem = problem_of([[(1.0, 0.0), (0.0, 0.1)]] * 3, 0.3)
    assert solve(problem).loss == 1.0


@pytest.mark.parametrize(("budget", "fits"), [(1.0, True), (1 + 2**-52, False)])
def test_a_sum_halfway_between_two_floats_goes_to_the_even_one(budget, fits):
    problem = problem_of([[(1.0, 0.0), (0.0, budget)], [(0.0, 2**-53)]], budget)
    assert (solve(problem).loss == 0.0) is fits


def test_numbers_count_as_floats():
    """Of the whole number 2^53 + 1, the nearest float is 2^53."""
    problem = problem_of([[(2**53 + 1, 2**53 + 1)]] * 3, 3 * 2**53)
    assert solve(problem) == Certified((0, 0, 0), 3.0 * 2**53, 3.0 * 2**53, bound=3.0 * 2**53, states=3)


# Laws -----------------------------------------------------------------------------------------------------------------


@given(problem=problems() | problems(whole_numbers))
def test_it_is_the_best_of_all_choices(problem):
    """The same options, not just the same loss: among equals the cheapest, then the first."""
    solution, expected = solve(problem), best_by_trying_all(problem)
    assert check(problem, solution) == []
    assert (solution.picked, solution.loss, solution.bound) == (expected.picked, expected.loss, expected.loss)


@given(problem=problems() | problems(whole_numbers), max_states=st.integers(0, 40))
def test_stopped_early_it_is_between_its_bound_and_its_loss(problem, max_states):
    solution, best = solve(problem, max_states=max_states), best_by_trying_all(problem)
    assert check(problem, solution) == []
    assert solution.bound <= best.loss <= solution.loss
    assert solution.states <= max_states


@given(problem=problems(), max_states=st.integers(0, 40), more=st.integers(1, 40))
def test_with_more_states_bound_and_loss_get_nearer(problem, max_states, more):
    early, late = solve(problem, max_states=max_states), solve(problem, max_states=max_states + more)
    assert early.bound <= late.bound
    assert worth(problem, late) <= worth(problem, early)


@given(problem=problems())
def test_it_is_never_worse_than_greedy(problem):
    assert solve(problem).loss <= greedy.solve(problem).loss


@given(problem=problems(), factor=st.floats(1, 2))
def test_with_a_larger_budget_it_is_never_worse(problem, factor):
    larger = Problem(problem.groups, problem.budget * factor)
    assert solve(larger).loss <= solve(problem).loss


@given(problem=problems(), source=st.randoms())
def test_the_order_of_groups_and_options_does_not_matter(problem, source):
    groups = [
        replace(group, options=tuple(source.sample(group.options, len(group.options)))) for group in problem.groups
    ]
    shuffled = Problem(tuple(source.sample(groups, len(groups))), problem.budget)
    one, other = solve(problem), solve(shuffled)
    assert (one.loss, one.cost, one.bound) == (other.loss, other.cost, other.bound)


@given(problem=problems(whole_numbers), loss_power=st.integers(-900, 900), cost_power=st.integers(-900, 900))
def test_the_units_of_loss_and_cost_do_not_matter(problem, loss_power, cost_power):
    """However small the numbers are: no tolerance is hidden anywhere."""
    tables = [
        [(math.ldexp(option.loss, loss_power), math.ldexp(option.cost, cost_power)) for option in group.options]
        for group in problem.groups
    ]
    scaled = problem_of(tables, math.ldexp(problem.budget, cost_power))
    assert solve(scaled).picked == solve(problem).picked


# Large problems -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("groups", "options"), [(60, 6), (150, 3)], ids=str)
def test_a_large_problem_takes_few_states(groups, options, seed):
    """A few thousand of 10^46 or 10^71 choices, which takes hundredths of a second."""
    problem = random_problem(groups, options, seed=seed)
    solution = solve(problem)
    assert check(problem, solution) == []
    assert solution.optimal
    assert solution.states < 20_000


def test_a_hard_problem_is_given_up_with_a_small_gap():
    """Where loss and cost are one to one, every choice is on the relaxation's line, and nothing can be ruled out."""
    costs = [[option.cost for option in group.options] for group in random_problem(60, 6, seed=0).groups]
    problem = problem_of([[(1 - cost, cost) for cost in row] for row in costs], 0.5 * sum(map(max, costs)))
    solution = solve(problem, max_states=20_000)
    assert check(problem, solution) == []
    assert 0 < solution.gap < 1e-3 * solution.loss


def by_highs(problem):
    """The choice that scipy's solver makes."""
    options = [(place, option) for place, group in enumerate(problem.groups) for option in group.options]
    one_each = np.array([[float(place == row) for place, _ in options] for row in range(len(problem.groups))])
    costs = np.array([option.cost for _, option in options])
    found = milp(
        [option.loss for _, option in options],
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(costs, ub=problem.budget)],
        integrality=np.ones(len(options)),
        bounds=(0, 1),
        options={"mip_rel_gap": 0},
    )
    sizes = [len(group.options) for group in problem.groups]
    return Choice.of(problem, [int(part.argmax()) for part in np.split(found.x, np.cumsum(sizes)[:-1])])


@pytest.mark.parametrize("seed", range(3))
def test_another_solver_chooses_the_same(seed):
    problem = random_problem(40, 6, seed=seed)
    assert by_highs(problem).picked == solve(problem).picked
