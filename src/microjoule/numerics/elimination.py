"""Inputs taken out of least-squares problems one after another, the others making up for each: what that costs.

A layer computes y = W x with inputs of second moment A. If the inputs of a unit u are taken away and the other weights
fitted anew, the least error and the weights that reach it are, with H = A^-1,

    E || W x - W' x ||^2  =  tr( W_u (H_uu)^-1 W_u' ),        W' = W - W_u (H_uu)^-1 H_u,:

and what is left is such a problem again, with H' = H - H_:,u (H_uu)^-1 H_u,:. Taking the cheapest unit each time gives
an order, and the error of every number of units, without looking at data again. Where several layers read a unit their
errors add up.

Source: Hassibi and Stork 1993, Second order derivatives for network pruning: Optimal Brain Surgeon, for one weight at a
time; Kurtic et al. 2023, ZipLM, https://arxiv.org/abs/2302.04089, section 3.2, for structures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from microjoule.numerics.least_squares import damped

DAMPING = 1e-2
"""Share of the diagonal that second moments get, as from that much noise on the inputs."""

AT_ONCE = 64
"""Of n units that are left n // 64 go in a step, so that wide layers do not take as many steps as they have units."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A least-squares problem with inputs that can be taken out.

    Args:
        weight: (outputs, inputs).
        second: (inputs, inputs), of what it reads.
        columns: (units, block), the inputs of each unit; inputs of no unit stay.
        share: what its error counts, as 1 over the variance of its output.
    """

    weight: Tensor
    second: Tensor
    columns: Tensor
    share: float = 1.0


def eliminate(
    readers: Sequence[Reader], order: Sequence[int] | None = None, *, damping: float = DAMPING
) -> tuple[list[int], Tensor]:
    """Take out all units but one, the cheapest first or in a given order.

    Args:
        readers: all that read the units, with as many units each.
        order: of all units, or of the first that go; None for the cheapest first.
        damping: share of the diagonals that second moments get.

    Returns:
        The order, of all units but the last one, and the error after each number of units, (units,), float64: at 0
        none is out. Errors add up what the readers' shares make of theirs.
    """
    problems = [_Problem.of(reader, damping) for reader in readers]
    left = list(range(len(readers[0].columns)))
    gone, errors = list[int](), [0.0]
    while len(left) > 1 and (order is None or len(gone) < len(order)):
        if order is None:
            costs = torch.stack([problem.costs() for problem in problems]).sum(0)
            some = torch.argsort(costs, stable=True)[: max(1, len(left) // AT_ONCE)].tolist()
        else:
            some = [left.index(order[len(gone)])]
        for unit in [left[place] for place in some]:
            place = left.index(unit)
            errors.append(errors[-1] + sum(problem.cost(place) for problem in problems))
            problems = [problem.without(place) for problem in problems]
            left.pop(place)
            gone.append(unit)
    return gone, torch.tensor(errors, dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class _Problem:
    """A reader in float64, with the inverse of its second moment."""

    weight: Tensor
    inverse: Tensor
    columns: Tensor
    share: float

    @classmethod
    def of(cls, reader: Reader, damping: float) -> Self:
        second = damped(reader.second.double()[None], damping)[0]
        return cls(reader.weight.double(), torch.linalg.inv(second), reader.columns, reader.share)

    def costs(self) -> Tensor:
        """What taking out each unit costs, (units,)."""
        own = self.inverse[self.columns[:, :, None], self.columns[:, None]]
        read = self.weight[:, self.columns].transpose(0, 1)
        solved: Tensor = torch.linalg.solve(own, read.transpose(1, 2))
        return self.share * (read.transpose(1, 2) * solved).sum((1, 2))

    def cost(self, place: int) -> float:
        """What taking out one unit costs."""
        alone = replace(self, columns=self.columns[place : place + 1])
        return float(alone.costs()[0])

    def without(self, place: int) -> Self:
        """What is left when a unit is out."""
        out = self.columns[place]
        factor = torch.linalg.solve(self.inverse[out[:, None], out], self.inverse[out])
        weight = self.weight - self.weight[:, out] @ factor
        inverse = self.inverse - self.inverse[:, out] @ factor
        stay = torch.ones(len(inverse), dtype=torch.bool, device=inverse.device)
        stay[out] = False
        moved = torch.cumsum(stay, 0) - 1
        columns = torch.cat([self.columns[:place], self.columns[place + 1 :]])
        return replace(self, weight=weight[:, stay], inverse=inverse[stay][:, stay], columns=moved[columns])


def refitted(weight: Tensor, second: Tensor, stay: Tensor, *, damping: float = DAMPING) -> Tensor:
    """The weights of the inputs that stay, the others' taken out: (outputs, inputs that stay), float64.

        W_s + W_o A_os A_ss^-1,   o the inputs that go

    Args:
        weight: (outputs, inputs).
        second: (inputs, inputs), of what they read.
        stay: (inputs,), true for those that stay.
        damping: as in `eliminate`.
    """
    known = damped(second.double()[None], damping)[0]
    w = weight.double()
    moved: Tensor = torch.linalg.solve(known[stay][:, stay], known[stay][:, ~stay] @ w[:, ~stay].T)
    return w[:, stay] + moved.T
