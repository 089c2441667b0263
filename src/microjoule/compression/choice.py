"""How much of each layer to keep: the least loss within a budget, by an exact knapsack.

Losses of channels that go and of low-rank forms, relative errors of outputs in closed form, are taken to add up. What
channels save adds up only roughly, as a layer between two groups is cut on both sides; so the budget of the knapsack is
tightened until what is left costs as much as it may. Low-rank forms are chosen after that, for what is left of each
layer, where costs add up exactly.

Channels that several layers make together, as those that residual blocks add to, stay as long as others are enough:
what is lost in them stays in all that is added later, which the errors of their readers do not tell.
MobileNetV2 at 75 % of its products, by channels alone, has 50.7 % of 217 images right if they stay, 47.5 % if not,
both fitted with second moments at their word.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from microjoule.compression.cuts import cuts
from microjoule.compression.menu import Menu
from microjoule.compression.plan import Plan
from microjoule.compression.prices import Form
from microjoule.errors import SettingError
from microjoule.search import greedy, knapsack
from microjoule.search.choice import Group, Option, Problem

TIGHTENINGS = 12
"""Halvings of what the budget of channels can be off by: 1/4096 of all that can be saved."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan, and what is foreseen of it.

    Args:
        plan: what goes.
        pruned_to: the share of the cost that channels alone leave.
        loss: foreseen: relative errors of outputs, summed over layers.
        greedy_loss: that of the greedy choice within the same budgets.
        cost: of all layers that are left.
    """

    plan: Plan
    pruned_to: float
    loss: float
    greedy_loss: float
    cost: float


def choose(menu: Menu, budget: float, pruned_to: float) -> Chosen:
    """The plan with the least foreseen loss, where channels and low-rank forms share the work as told.

    Args:
        menu: what there is.
        budget: what all layers may cost, in the menu's currency.
        pruned_to: the share of the cost that channels alone leave; 1 leaves all channels.

    Raises:
        SettingError: if nothing on the menu is so cheap.
    """
    whole = menu.cost(Plan())
    counts, lost = _pruned(menu, max(budget, pruned_to * whole))
    removed = {name: menu.removed(name, count) for name, count in counts.items() if count}
    after = menu.cost(Plan(removed))
    forms, form_lost = ({}, (0.0, 0.0)) if after <= budget else _in_forms(menu, removed, budget)
    plan = Plan(removed, forms)
    return Chosen(plan, after / whole, lost[0] + form_lost[0], lost[1] + form_lost[1], menu.cost(plan))


def _pruned(menu: Menu, budget: float) -> tuple[dict[str, int], tuple[float, float]]:
    """How many units of each group go so that what is left costs at most so much; and the losses of both solvers."""
    if menu.cost(Plan()) <= budget:
        return {}, (0.0, 0.0)
    for names in ([name for name in menu.removals if menu.is_made_once(name)], list(menu.removals)):
        groups = _groups(menu, names)
        best = _solved(menu, Problem(groups, 0.0))
        if best.cost <= budget:
            break
    else:
        given, least = (f"{cost:,.0f}" if cost >= 100 else f"{cost:.3g}" for cost in (budget, best.cost))
        fact = f"is {given} {menu.currency.unit}, and channels alone can be pruned to {least}"
        remedy = "give a larger one, let low-rank forms do more of it, or prune to smaller multiples"
        raise SettingError("budget", fact, remedy=remedy)
    lower, upper = 0.0, math.fsum(max(option.cost for option in group.options) for group in groups)
    for _ in range(TIGHTENINGS):
        middle = (lower + upper) / 2
        found = _solved(menu, Problem(groups, middle))
        if found.cost <= budget:
            best, lower = found, middle
        else:
            upper = middle
    return best.counts, (best.loss, greedy.solve(best.problem).loss)


@dataclass(frozen=True, slots=True)
class _Pruned:
    """A problem's solution, and what it really costs."""

    problem: Problem
    counts: dict[str, int]
    loss: float
    cost: float


def _solved(menu: Menu, problem: Problem) -> _Pruned:
    found = knapsack.solve(problem)
    pairs = zip(problem.groups, found.picked, strict=True)
    counts = {group.name: int(group.options[picked].name) for group, picked in pairs}
    removed = {name: menu.removed(name, count) for name, count in counts.items() if count}
    return _Pruned(problem, counts, found.loss, menu.cost(Plan(removed)))


def _groups(menu: Menu, names: Sequence[str]) -> tuple[Group, ...]:
    """For each channel group how many units may go; an option costs what it saves less than the cheapest one."""
    network, found = menu.network, []
    whole = {path: menu.layer_cost(path, cut) for path, cut in cuts(network, (), {}).items()}
    for name in names:
        removal = menu.removals[name]
        touched = dict.fromkeys(member.path for member in removal.group.members if member.side in ("in", "out"))
        counts, costs = menu.widths(removal), []
        for count in counts:
            stays = cuts(network, [removal.group], {name: menu.removed(name, count)})
            costs.append(sum(menu.layer_cost(path, stays[path]) - whole[path] for path in touched))
        least = min(costs)
        options = (
            Option(str(count), removal.losses[count], cost - least) for count, cost in zip(counts, costs, strict=True)
        )
        found.append(Group(name, tuple(options)))
    return tuple(found)


def _in_forms(
    menu: Menu, removed: Mapping[str, tuple[int, ...]], budget: float
) -> tuple[dict[str, Form], tuple[float, float]]:
    """The low-rank forms of what is left of each layer, within a budget; and the losses of both solvers."""
    stays = cuts(menu.network, menu.groups, removed)
    forms: list[list[Form | None]] = []
    groups = []
    for path, cut in stays.items():
        offered: list[tuple[Form | None, float]] = [(None, 0.0), *menu.forms(path, cut)]
        forms.append([how for how, _ in offered])
        costs = [menu.layer_cost(path, cut, how) for how in forms[-1]]
        options = (Option(str(at), lost, costs[at]) for at, (_, lost) in enumerate(offered))
        groups.append(Group(path, tuple(options)))
    problem = Problem(tuple(groups), budget)
    found = knapsack.solve(problem)
    picked = {group.name: forms[at][place] for at, (group, place) in enumerate(zip(groups, found.picked, strict=True))}
    chosen = {path: how for path, how in picked.items() if how is not None}
    return chosen, (found.loss, greedy.solve(problem).loss)
