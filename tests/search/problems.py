"""Problems to solve, small ones for laws and large ones for speed, and the plainest way to solve the small ones."""

import itertools
import math
import random
from fractions import Fraction

from hypothesis import strategies as st

from microjoule.search.choice import Choice, Group, Option, Problem


def problem_of(tables, budget):
    """A problem from rows of (loss, cost), one row a group."""
    groups = [
        Group(f"group {place}", tuple(Option(f"option {index}", loss, cost) for index, (loss, cost) in enumerate(row)))
        for place, row in enumerate(tables)
    ]
    return Problem(tuple(groups), budget)


whole_numbers = st.integers(0, 6).map(float)
"""Few of them, so that there are ties."""

all_numbers = whole_numbers | st.sampled_from([0.1, 0.2, 0.3, 1e-300, 2.0**-53, 1e200]) | st.floats(0, 1e3)


@st.composite
def problems(draw, numbers=all_numbers):
    """Up to 5 groups of up to 4 options, with a budget that a choice just keeps, or one in between."""
    losses = numbers | numbers.map(lambda loss: -loss)
    row = st.lists(st.tuples(losses, numbers), min_size=1, max_size=4)
    tables = draw(st.lists(row, min_size=1, max_size=5))
    budget = math.fsum(draw(st.sampled_from(row))[1] for row in tables)
    cheapest = math.fsum(min(cost for _, cost in row) for row in tables)
    return problem_of(tables, max(cheapest, budget * draw(st.sampled_from([1.0, 1.0, 0.9, 1.1]))))


def best_by_trying_all(problem):
    """The least loss, then the least cost, then the first, of all choices within the budget."""
    all_picks = itertools.product(*(range(len(group.options)) for group in problem.groups))
    choices = [Choice.of(problem, picked) for picked in all_picks]
    return min(
        (choice for choice in choices if choice.cost <= problem.budget), key=lambda choice: worth(problem, choice)
    )


def worth(problem, choice):
    """What choices are compared by, without rounding."""
    options = [group.options[index] for group, index in zip(problem.groups, choice.picked, strict=True)]
    return sum(Fraction(one.loss) for one in options), sum(Fraction(one.cost) for one in options), choice.picked


def random_problem(groups, options, *, seed):
    """Like layers whose loss falls as their cost rises."""
    source = random.Random(seed)

    def row():
        losses = sorted((source.random() for _ in range(options)), reverse=True)
        return list(zip(losses, sorted(source.random() for _ in range(options)), strict=True))

    tables = [row() for _ in range(groups)]
    least, most = (sum(row[end][1] for row in tables) for end in (0, -1))
    return problem_of(tables, least + source.uniform(0.2, 0.8) * (most - least))
