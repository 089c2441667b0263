"""Orders in which units of a layer's inputs go, by what other units could make up for: from second moments alone.

A layer gives y = sum_u W_u x_u. The units are its input channels, each with a block of inputs, one a kernel tap. Three
questions give three orders:

    LASSO       argmin_b  E | y - sum_u b_u W_u x_u |^2 + lambda |b|_1       which b_u are 0 for a large lambda?
    matching    which unit, fitted to what those picked so far leave of y, explains most of it?
    redundancy  which x_u is told best, in mean square, by the other units, whatever the weights?

With A_uv = E[x_u x_v'] LASSO needs no more than G_uv = tr(W_u A_uv W_v') and G 1; matching, for the units S picked so
far, the cross moment R of what is left of y with x, and the second moment of what S does not tell of x:

    A|S = A - A_:S (A_SS)^-1 A_S:        R = W A|S        score of u = tr(R_u (A_uu)^-1 R_u')

Where several layers read the units, squared errors add up by the readers' shares. Inputs of no unit always stay.

Source: He, Zhang, Sun 2017, Channel Pruning for Accelerating Very Deep Neural Networks,
https://arxiv.org/abs/1707.06168, section 3.1, for LASSO, whose path is that of Efron et al. 2004, Least angle
regression, https://arxiv.org/abs/math/0406456; Pati et al. 1993, Orthogonal matching pursuit, and Eldar et al. 2010,
Block-sparse signals, https://arxiv.org/abs/0906.3173, section V, for matching by blocks.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram
from torch import Tensor

from microjoule.numerics.elimination import DAMPING, Reader, eliminate
from microjoule.numerics.least_squares import damped

STEPS = 8
"""Steps of a LASSO path at most, for each unit; units come and go, but seldom so often."""

# LASSO ----------------------------------------------------------------------------------------------------------------


def lasso_order(readers: Sequence[Reader], *, damping: float = DAMPING) -> list[int]:
    """The units as the penalty takes them out: those that come last, as it falls, go first.

    Units that never come go before all others, those that give least first.

    Args:
        readers: all that read the units, with as many units each.
        damping: share of the diagonals that second moments get.

    Returns:
        All units but the last one.
    """
    gram = contributions(readers, damping=damping)
    weakest_first = torch.argsort(gram.diagonal(), stable=True).cpu()
    latest_first = torch.argsort(lasso_entries(gram)[weakest_first], descending=True, stable=True)
    return weakest_first[latest_first][:-1].tolist()


def contributions(readers: Sequence[Reader], *, damping: float = DAMPING) -> Tensor:
    """G, what the units give to the outputs: (units, units), float64, summed over readers by their shares.

    Args:
        readers: as in `lasso_order`.
        damping: as there.
    """
    total = []
    for reader in readers:
        weight, inner = reader.weight.double(), reader.columns.flatten()
        products = weight.T @ weight * damped(reader.second.double()[None], damping)[0]
        units, block = reader.columns.shape
        total.append(reader.share * products[inner][:, inner].reshape(units, block, units, block).sum((1, 3)))
    return torch.stack(total).sum(0)


def lasso_entries(gram: Tensor) -> Tensor:
    """At which step of the path from a large penalty to none each unit's factor is first not 0; (units,).

    Args:
        gram: (units, units), from `contributions`; the outputs are the sum of what all units give.

    Returns:
        The steps; of a unit that stays at 0, one more than the last step.
    """
    known = gram.cpu().numpy()
    cross = known.sum(1)
    known, cross = (part / max(float(np.abs(cross).max()), np.finfo(np.float64).tiny) for part in (known, cross))
    with warnings.catch_warnings(), np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # of units that tell the same: they count as never coming
        _, _, path = lars_path_gram(cross, known, n_samples=1, max_iter=STEPS * len(known), method="lasso")
    there = torch.from_numpy(path != 0)
    return torch.where(there.any(1), there.int().argmax(1), there.shape[1])


# Matching -------------------------------------------------------------------------------------------------------------


def matching_order(readers: Sequence[Reader], *, damping: float = DAMPING) -> list[int]:
    """The units as orthogonal matching pursuit picks them, the other way round: the last that is picked goes first.

    Args:
        readers: all that read the units, with as many units each.
        damping: share of the diagonals that second moments get.

    Returns:
        All units but the one that is picked first.
    """
    pursuits = [_Pursuit.of(reader, damping) for reader in readers]
    left = torch.ones(len(readers[0].columns), dtype=torch.bool)
    picked = list[int]()
    while len(picked) < len(left):
        scores = torch.stack([pursuit.scores() for pursuit in pursuits]).sum(0).cpu()
        unit = int(torch.where(left, scores, -torch.inf).argmax())
        pursuits = [pursuit.after(pursuit.columns[unit]) for pursuit in pursuits]
        left[unit] = False
        picked.append(unit)
    return picked[:0:-1]


@dataclass(frozen=True, slots=True)
class _Pursuit:
    """What a reader's picked units leave.

    Args:
        residual: (outputs, inputs), R.
        untold: (inputs, inputs), A|S.
        own: (units, block, block), A_uu^-1.
        columns: (units, block).
        share: of the reader.
    """

    residual: Tensor
    untold: Tensor
    own: Tensor
    columns: Tensor
    share: float

    @classmethod
    def of(cls, reader: Reader, damping: float) -> Self:
        """Before any unit is picked; inputs of no unit are told already."""
        second = damped(reader.second.double()[None], damping)[0]
        own = torch.linalg.inv(second[reader.columns[:, :, None], reader.columns[:, None]])
        start = cls(reader.weight.double() @ second, second, own, reader.columns, reader.share)
        stay = torch.ones(len(second), dtype=torch.bool, device=second.device)
        stay[reader.columns.flatten()] = False
        return start.after(torch.nonzero(stay).flatten())

    def scores(self) -> Tensor:
        """How much of what is left each unit explains, (units,)."""
        crossed = self.residual[:, self.columns].transpose(0, 1)
        return self.share * ((crossed @ self.own) * crossed).sum((1, 2))

    def after(self, columns: Tensor) -> Self:
        """With more inputs told."""
        factor = torch.linalg.solve(self.untold[columns[:, None], columns], self.untold[columns])
        residual = self.residual - self.residual[:, columns] @ factor
        return replace(self, residual=residual, untold=self.untold - self.untold[:, columns] @ factor)


# Redundancy -----------------------------------------------------------------------------------------------------------


def redundancy_order(readers: Sequence[Reader], *, damping: float = DAMPING) -> list[int]:
    """The units as the others tell them: the one that is told best goes first; weights play no part.

    Each time that a unit goes, all that have gone are told anew by those that are left. Every reader counts the same.

    Args:
        readers: all that read the units, with as many units each.
        damping: share of the diagonals that second moments get.

    Returns:
        All units but the last one.
    """
    return eliminate([_itself(reader) for reader in readers], damping=damping)[0]


def _itself(reader: Reader) -> Reader:
    """A reader that gives its units' inputs as they are; errors are shares of their variance."""
    inner = reader.columns.flatten()
    whole = float(reader.second.diagonal()[inner].sum())
    identity = torch.eye(len(reader.second), dtype=torch.float64, device=reader.second.device)
    return replace(reader, weight=identity[inner], share=1 / whole if whole > 0 else 0.0)
