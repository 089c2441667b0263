"""The smallest peak as an integer program, solved by HiGHS: it shares nothing with the searches but the words.

x[v, t] = 1 if operator v has run at the end of step t, with one operator a step. A value is live during step t if a
writer of it has run at its end, and a user had not before it: live[value, t] >= x[writer, t] - x[user, t - 1].
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from microjoule.scheduling import Computation
from microjoule.scheduling.check import Definitions


def least_peak(computation: Computation) -> int:
    """The smallest peak of all orders, in bytes.

    Args:
        computation: small, with views or without.
    """
    program = _Program(Definitions(computation))
    return program.solve()


class _Program:
    """The variables are x[v, t], live[value, t], whether v reuses the place of its input at t, and the peak."""

    def __init__(self, given: Definitions) -> None:
        self.given, self.n = given, len(given.operators)
        self.values = len(given.values)
        self.columns = 2 * self.n * self.n + self.values * self.n + 1
        self.rows: list[dict[int, float]] = []
        self.low: list[float] = []

    def solve(self) -> int:
        """The optimum."""
        self._orders()
        self._lives()
        self._peaks()
        matrix = np.zeros((len(self.rows), self.columns))
        for row, entries in enumerate(self.rows):
            for column, factor in entries.items():
                matrix[row, column] += factor
        cost = np.zeros(self.columns)
        cost[-1] = 1
        high = np.ones(self.columns)
        high[-1] = np.inf
        integral = np.ones(self.columns)
        integral[-1] = 0
        found = milp(cost, constraints=LinearConstraint(matrix, self.low), bounds=Bounds(0, high), integrality=integral)
        if found.x is None:
            raise AssertionError(found.message)
        return max(round(float(found.x[-1])), self.given.live(frozenset()))

    def _ran(self, operator: int, step: int) -> dict[int, float]:
        """x[v, t] as a row; nothing has run before the first step."""
        return {} if step < 0 else {operator * self.n + step: 1.0}

    def _live(self, value: int, step: int) -> int:
        return self.n * self.n + value * self.n + step

    def _reuses(self, operator: int, step: int) -> int:
        return self.n * self.n + self.values * self.n + operator * self.n + step

    def _at_least(self, entries: list[tuple[dict[int, float], float]], low: float) -> None:
        row: dict[int, float] = {}
        for part, factor in entries:
            for column, one in part.items():
                row[column] = row.get(column, 0.0) + factor * one
        self.rows.append(row)
        self.low.append(low)

    def _orders(self) -> None:
        for step in range(self.n):
            every = [(self._ran(one, step), 1.0) for one in range(self.n)]
            self._at_least(every, step + 1)
            self._at_least([(row, -1.0) for row, _ in every], -(step + 1))
            for one in range(self.n):
                self._at_least([(self._ran(one, step), 1.0), (self._ran(one, step - 1), -1.0)], 0)
                for needed in self.given.before[one]:
                    self._at_least([(self._ran(needed, step - 1), 1.0), (self._ran(one, step), -1.0)], 0)

    def _lives(self) -> None:
        """A value lives during a step if it was started by its end and was not finished before it."""
        for value, one in enumerate(self.given.values):
            users = self.given.users[value]
            for step in range(self.n):
                column = {self._live(value, step): 1.0}
                starts = [{}] if one.is_input else [self._ran(writer, step) for writer in self.given.writers[value]]
                ends = [{}] if one.is_output else [self._ran(user, step - 1) for user in users]
                for start in starts:
                    for end in ends:
                        low = 1.0 if one.is_input else 0.0
                        self._at_least([(column, 1.0), (start, -1.0), (end, 1.0)], low)

    def _peaks(self) -> None:
        given = self.given
        for step in range(self.n):
            row: list[tuple[dict[int, float], float]] = [({self.columns - 1: 1.0}, 1.0)]
            for value, one in enumerate(given.values):
                row.append(({self._live(value, step): 1.0}, -float(one.size_bytes)))
            for index, operator in enumerate(given.operators):
                now = [(self._ran(index, step), 1.0), (self._ran(index, step - 1), -1.0)]
                row += [(part, -factor * operator.workspace_bytes) for part, factor in now]
                if given.reusable(index):
                    reuse = {self._reuses(index, step): 1.0}
                    row.append((reuse, float(given.reusable(index))))
                    self._at_least([*now, (reuse, -1.0)], 0)
                    assert operator.inplace is not None
                    for user in given.users[operator.inplace] - {index}:
                        self._at_least([(self._ran(user, step - 1), 1.0), (reuse, -1.0)], 0)
            self._at_least(row, 0)
