"""Small computations of every kind, at random."""

import random
from collections.abc import Sequence
from typing import Any

from microjoule.scheduling import Computation, Operator, Value


def random_computation(seed: int, *, most: int = 9) -> Computation:
    """Up to some operators, with accumulation, in place, views, workspaces, dead values and values of no bytes.

    Args:
        seed: of every draw.
        most: operators, about.
    """
    return _Draft(seed).computation(most)


class _Draft:
    """A computation that grows."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.values: list[Value] = []
        self.operators: list[Operator] = []

    def computation(self, most: int) -> Computation:
        """The whole of it."""
        wanted = self.random.randint(1, most)
        for _ in range(self.random.randint(1, 2)):
            self.value(self.size(), is_input=True)
        while len(self.operators) < wanted:
            inputs = self.some(self.random.choice([0, 1, 1, 1, 2, 2, 3]))
            kind = self.random.random()
            if kind < 0.15 and inputs:
                self.operator(inputs, self.value(sum(self.values[one].size_bytes for one in inputs)), is_view=True)
            elif kind < 0.35:
                self.accumulation()
            elif inputs and self.random.random() < 0.3:
                given = self.values[inputs[0]].size_bytes
                output = self.value(self.random.choice([given, min(given, self.size())]))
                self.operator(inputs, output, inplace=inputs[0], workspace_bytes=self.workspace())
            else:
                outputs = [self.value(self.size()) for _ in range(self.random.choice([1, 1, 1, 2]))]
                self.operator(inputs, *outputs, workspace_bytes=self.workspace())
        return Computation(f"seed {self.seed}", tuple(self.values), tuple(self.operators))

    def accumulation(self) -> None:
        """Two or three operators that write one value."""
        earlier, output = len(self.values), self.value(self.size())
        for _ in range(self.random.randint(2, 3)):
            inputs = self.random.sample(range(earlier), min(earlier, self.random.choice([1, 1, 2])))
            has_room = inputs and self.values[inputs[0]].size_bytes >= self.values[output].size_bytes
            place = inputs[0] if has_room else None  # nothing comes of it: more than one operator writes there
            self.operator(inputs, output, inplace=place, workspace_bytes=self.workspace())

    def size(self) -> int:
        """Bytes of a value."""
        return self.random.choice([0, 1, 1, 2, 3, 5, 8, 13, self.random.randint(0, 50)])

    def workspace(self) -> int:
        """Bytes of a workspace."""
        return self.random.choice([0, 0, 0, 0, 3, 7])

    def some(self, count: int) -> tuple[int, ...]:
        """Some values, no more than there are."""
        return tuple(self.random.sample(range(len(self.values)), min(len(self.values), count)))

    def value(self, size: int, *, is_input: bool = False) -> int:
        """A new value; returns its index."""
        self.values.append(Value(f"v{len(self.values)}", size, is_input, self.random.random() < 0.1))
        return len(self.values) - 1

    def operator(self, inputs: Sequence[int], *outputs: int, **options: Any) -> None:
        """A new operator."""
        self.operators.append(Operator(f"o{len(self.operators)}", tuple(inputs), outputs, **options))
