import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.search.choice import Certified, Choice, Group, Option, Problem, check
from tests.search.problems import problem_of, problems

KEEP = Option("keep", 0.0, 4.0)
HALVE = Option("halve", 1.0, 2.0)
A = Group("a", (KEEP, HALVE))
PROBLEM = problem_of([[(0.0, 4.0), (1.0, 2.0)], [(0.5, 3.0), (2.0, 1.0), (9.0, 0.0)]], 5.0)
SOUND = Certified(picked=(1, 0), loss=1.5, cost=5.0, bound=1.5, states=8)


# What a problem cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 1.1e300])
def test_a_loss_is_a_number(loss):
    with pytest.raises(SettingError, match=r"option 'int4': has loss .*\n  give a number within ±1e\+300"):
        Option("int4", loss, 1.0)


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0, 1.1e300])
def test_a_cost_is_a_number_from_0(cost):
    with pytest.raises(SettingError, match=r"option 'int4': has cost .*\n  give a number from 0 to 1e\+300"):
        Option("int4", 1.0, cost)


def test_the_extremes_are_numbers():
    assert Option("a", -1e300, 0.0).loss == -1e300
    assert Option("a", 1e300, 1e300).cost == 1e300


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Group("conv", ()), "group 'conv': has no options"),
        (lambda: Group("conv", (KEEP, HALVE, KEEP)), "group 'conv': 2 options are called 'keep'"),
        (lambda: Problem((), 1.0), "groups: there is none"),
        (lambda: Problem((A, Group("b", (KEEP,)), A), 20.0), "groups: 2 groups are called 'a'"),
        (lambda: Problem((A,), math.nan), "budget: is nan\n  give a number up to"),
        (lambda: Problem((A,), math.inf), "budget: is inf\n  give a number up to"),
        (
            lambda: Problem((A, Group("b", (KEEP,))), 5.9),
            r"budget: is 5.9, but the cheapest choice costs 6.0\n  give at",
        ),
        (lambda: Problem((A,), -1.0), r"budget: is -1.0, but the cheapest choice costs 2.0"),
    ],
    ids=["no option", "option twice", "no group", "group twice", "nan", "inf", "too small", "negative"],
)
def test_a_problem_that_cannot_be_is_refused(build, message):
    with pytest.raises(SettingError, match=message):
        build()


def test_a_budget_of_the_cheapest_choice_is_enough():
    assert Problem((A,), 2.0).cheapest == 2.0


# Choices --------------------------------------------------------------------------------------------------------------


def test_a_choice_adds_up():
    assert Choice.of(PROBLEM, [0, 2]) == Choice((0, 2), 9.0, 4.0)


def test_sums_are_rounded_once():
    problem = problem_of([[(0.1, 0.1)]] * 10, 1.0)
    assert Choice.of(problem, [0] * 10) == Choice((0,) * 10, 1.0, 1.0)
    assert sum([0.1] * 10) != 1.0


def test_a_choice_is_one_option_for_each_group():
    with pytest.raises(ValueError, match="zip"):
        Choice.of(PROBLEM, [0])


def test_the_gap_is_what_is_not_proved():
    assert (SOUND.gap, SOUND.optimal) == (0.0, True)
    assert (replace(SOUND, bound=1.25).gap, replace(SOUND, bound=1.25).optimal) == (0.25, False)


# The checker ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solution", [SOUND, Choice((1, 0), 1.5, 5.0), replace(SOUND, bound=-math.inf)], ids=str)
def test_a_sound_solution_has_nothing_wrong(solution):
    assert check(PROBLEM, solution) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"picked": (1,)}, "picks 1 options for 2 groups"),
        ({"picked": (1, 0, 0)}, "picks 3 options for 2 groups"),
        ({"picked": (2, 0)}, "group 'group 0' has 2 options, none with index 2"),
        ({"picked": (1, -3)}, "group 'group 1' has 3 options, none with index -3"),
        ({"loss": math.nextafter(1.5, 2)}, "gives its loss as 1.5000000000000002, but the picked options' is 1.5"),
        ({"loss": math.nan}, "gives its loss as nan, but the picked options' is 1.5"),
        ({"cost": 4.0}, "gives its cost as 4.0, but the picked options' is 5.0"),
        ({"picked": (0, 0), "loss": 0.5, "cost": 7.0, "bound": 0.5}, "costs 7.0, over the budget of 5.0"),
        ({"bound": math.nextafter(1.5, 2)}, "gives a bound of 1.5000000000000002 on the loss, but reaches 1.5 itself"),
        ({"bound": math.nan}, "gives a bound of nan on the loss, but reaches 1.5 itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_found_and_said(wrong, words):
    assert check(PROBLEM, replace(SOUND, **wrong)) == [words]


def test_all_that_is_wrong_is_said():
    assert len(check(PROBLEM, Certified((0, 0), 0.0, 5.0, bound=2.0, states=0))) == 4
    assert len(check(PROBLEM, replace(SOUND, picked=(2, 3)))) == 2


@given(problem=problems(), data=st.data())
def test_the_checker_adds_up_as_a_choice_does(problem, data):
    picked = [data.draw(st.integers(0, len(group.options) - 1)) for group in problem.groups]
    choice = Choice.of(problem, picked)
    wrong = check(problem, choice)
    assert len(wrong) == (choice.cost > problem.budget)


def test_numbers_count_as_floats():
    """Of the whole number 2^53 + 1, the nearest float is 2^53."""
    problem = problem_of([[(2**53 + 1, 2**53 + 1)]] * 3, 3 * 2**53)
    assert check(problem, Choice.of(problem, [0, 0, 0])) == []
