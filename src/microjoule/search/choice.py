"""One option for each group, for the least loss within a budget: the problem, its solutions, and a check of these.

A group is what is decided at once, such as a layer with its input; an option is one way to do it, such as 4 bits for
the weights and 8 for the activations, with the loss that it brings and what it costs. Losses add up over groups, and so
do costs:

    minimize  sum of loss[g][picked[g]]   subject to  sum of cost[g][picked[g]] <= budget

A sum is the exact one, rounded once to the nearest float (as `math.fsum` does it). So sums do not depend on the order
of groups, ten costs of 0.1 are within a budget of 1, and two solvers can be compared with ==.

Whoever solves it, `check` holds the solution against the problem. It shares no code with the solvers and is slow and
simple on purpose.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from microjoule.errors import SettingError

LARGEST = 1e300
"""The largest loss or cost: a hundred million of them still have a sum below the largest float, 1.8e308."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do a group.

    Args:
        loss: how much worse the network gets, in any unit, at most 1e300 either way.
        cost: what it takes of the budget, in the budget's unit, from 0 to 1e300.

    Raises:
        SettingError: for a loss or cost outside these, or NaN.
    """

    name: str
    loss: float
    cost: float

    def __post_init__(self) -> None:
        if not abs(self.loss) <= LARGEST:
            raise SettingError(
                f"option {self.name!r}", f"has loss {self.loss}", remedy=f"give a number within ±{LARGEST:g}"
            )
        if not 0 <= self.cost <= LARGEST:
            raise SettingError(
                f"option {self.name!r}", f"has cost {self.cost}", remedy=f"give a number from 0 to {LARGEST:g}"
            )


@dataclass(frozen=True, slots=True)
class Group:
    """What is decided at once; one of its options is to be picked.

    Raises:
        SettingError: if it has no option, or two of one name.
    """

    name: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        place = f"group {self.name!r}"
        if not self.options:
            raise SettingError(place, "has no options", remedy="give it at least one, or leave the group out")
        _require_distinct(place, "options", (option.name for option in self.options))


@dataclass(frozen=True, slots=True)
class Problem:
    """The least loss within a budget, one option for each group.

    Args:
        budget: what the options may cost together, in the unit of their costs.

    Raises:
        SettingError: if there is no group, two have one name, or the budget is NaN, above 1e300, or below what the
            cheapest choice costs.
    """

    groups: tuple[Group, ...]
    budget: float

    def __post_init__(self) -> None:
        if not self.groups:
            raise SettingError("groups", "there is none", remedy="give at least one group")
        _require_distinct("groups", "groups", (group.name for group in self.groups))
        if not self.budget <= LARGEST:
            raise SettingError("budget", f"is {self.budget}", remedy=f"give a number up to {LARGEST:g}")
        if self.cheapest > self.budget:
            raise SettingError(
                "budget",
                f"is {self.budget}, but the cheapest choice costs {self.cheapest}",
                remedy="give at least that, or cheaper options",
            )

    @property
    def cheapest(self) -> float:
        """What the cheapest choice costs; no smaller budget can be kept."""
        return math.fsum(min(option.cost for option in group.options) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Choice:
    """One option for each group.

    Args:
        picked: for each group, in its problem's order, the index of its option.
        loss: of the picked options together.
        cost: of the picked options together.
    """

    picked: tuple[int, ...]
    loss: float
    cost: float

    @classmethod
    def of(cls, problem: Problem, picked: Iterable[int]) -> Self:
        """The choice of these options, with its loss and cost."""
        indices = tuple(picked)
        options = [group.options[index] for group, index in zip(problem.groups, indices, strict=True)]
        return cls(indices, math.fsum(option.loss for option in options), math.fsum(option.cost for option in options))


@dataclass(frozen=True, slots=True)
class Certified:
    """A choice, and a proved bound on how much better another could be.

    Args:
        picked: as in `Choice`.
        loss: as in `Choice`.
        cost: as in `Choice`.
        bound: no choice within the budget has a smaller loss than this.
        states: partial choices that were looked at.
    """

    picked: tuple[int, ...]
    loss: float
    cost: float
    bound: float
    states: int

    @property
    def gap(self) -> float:
        """What another choice could gain at most, in the unit of the loss; 0 if this one is optimal."""
        return self.loss - self.bound

    @property
    def optimal(self) -> bool:
        """Whether no choice within the budget has a smaller loss."""
        return self.loss == self.bound


def check(problem: Problem, solution: Choice | Certified) -> list[str]:
    """What is wrong with a solution, in words; empty if it is what it says.

    All is computed anew, in fractions. A bound is held against the solution's own loss, which refutes a bound that is
    too high only if it is higher than that.
    """
    if len(solution.picked) != len(problem.groups):
        return [f"picks {len(solution.picked)} options for {len(problem.groups)} groups"]
    wrong = []
    loss = cost = Fraction(0)
    for group, index in zip(problem.groups, solution.picked, strict=True):
        if 0 <= index < len(group.options):
            loss += Fraction(float(group.options[index].loss))
            cost += Fraction(float(group.options[index].cost))
        else:
            wrong.append(f"group {group.name!r} has {len(group.options)} options, none with index {index}")
    if wrong:
        return wrong
    if solution.loss != float(loss):
        wrong.append(f"gives its loss as {solution.loss}, but the picked options' is {float(loss)}")
    if solution.cost != float(cost):
        wrong.append(f"gives its cost as {solution.cost}, but the picked options' is {float(cost)}")
    if float(cost) > problem.budget:
        wrong.append(f"costs {float(cost)}, over the budget of {problem.budget}")
    if isinstance(solution, Certified) and not solution.bound <= float(loss):
        wrong.append(f"gives a bound of {solution.bound} on the loss, but reaches {float(loss)} itself")
    return wrong


def _require_distinct(place: str, kind: str, names: Iterable[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise SettingError(place, f"{count} {kind} are called {name!r}", remedy="give each its own name")
