"""Greedy choice: from the least loss down to the budget, each time by the step that adds the least loss per saving.

A step gives one group a cheaper option. A group's best steps run along the lower convex hull of its (cost, loss), so
they only get worse, and the greedy choice follows the linear relaxation down to the first step that fits: what it loses
against the best choice is at most the loss of its last step. `knapsack` is exact, and this one is to compare it with.

Source: Pandey et al. 2023, A Practical Mixed Precision Algorithm for Post-Training Quantization,
https://arxiv.org/abs/2302.05397, phase 2, where steps come in order of their loss alone; in order of loss per saving as
in Dantzig 1957, Discrete-Variable Extremum Problems, https://doi.org/10.1287/opre.5.2.266.
"""

import heapq

from microjoule.search.choice import Choice, Group, Problem

Step = tuple[float, float, int, int]
"""To a cheaper option: (loss per saving, saving, the group's place, the option's index)."""


def solve(problem: Problem) -> Choice:
    """Find a good choice within the budget.

    Among equal options the cheaper is taken, among equal steps the one that saves less, and then the first.
    """
    picked = [_best_option(group) for group in problem.groups]
    steps = [step for place in range(len(picked)) for step in _best_step(problem, picked, place)]
    heapq.heapify(steps)
    choice = Choice.of(problem, picked)
    while choice.cost > problem.budget:
        *_, place, index = heapq.heappop(steps)
        picked[place] = index
        for step in _best_step(problem, picked, place):
            heapq.heappush(steps, step)
        choice = Choice.of(problem, picked)
    return choice


def _best_option(group: Group) -> int:
    """The option of the least loss."""
    options = group.options
    return min(range(len(options)), key=lambda index: (options[index].loss, options[index].cost))


def _best_step(problem: Problem, picked: list[int], place: int) -> list[Step]:
    """A group's step from its picked option; none from the cheapest."""
    options = problem.groups[place].options
    here = options[picked[place]]
    steps = [
        ((there.loss - here.loss) / (here.cost - there.cost), here.cost - there.cost, place, index)
        for index, there in enumerate(options)
        if there.cost < here.cost
    ]
    return [min(steps)] if steps else []
