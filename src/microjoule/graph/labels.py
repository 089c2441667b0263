"""Integers that stand for channels, carried through a graph: which of them meet, and which must stay.

Every channel that a layer makes gets a label. A value carries, for each of its elements, the label of the channel that
the element belongs to; where two values meet elementwise, the labels that meet are one class: they go together.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from microjoule.graph.shapes import Shape


@dataclass(frozen=True, slots=True)
class Value:
    """The labels of a value.

    Args:
        labels: of the value's rank; 1 along axes on which they do not depend.
        shape: of the value.
        stored: whether it is a stored tensor, or made of such alone.
    """

    labels: Tensor
    shape: Shape
    stored: bool = False

    @property
    def varying(self) -> tuple[int, ...]:
        """The axes on which the labels depend."""
        return tuple(axis for axis, size in enumerate(self.labels.shape) if size > 1)

    @property
    def full(self) -> Tensor:
        """A label for each element, of the value's shape."""
        return self.labels.expand(self.shape)


def compact(full: Tensor, *, stored: bool = False) -> Value:
    """The labels of all elements as a `Value`.

    Args:
        full: the value's shape, a label for each element.
        stored: whether the value is stored.
    """
    labels = full
    for axis in range(full.dim()):
        first = labels.narrow(axis, 0, 1)
        if full.stride(axis) == 0 or torch.equal(first.expand_as(labels), labels):
            labels = first
    return Value(labels, tuple(full.shape), stored)


def along(labels: Tensor, axis: int, shape: Shape) -> Value:
    """A value of some shape whose labels depend on one axis.

    Args:
        labels: (shape[axis],).
        axis: of the value.
        shape: of the value.
    """
    sizes = [-1 if index == axis % len(shape) else 1 for index in range(len(shape))]
    return Value(labels.reshape(sizes), shape)


class Labels:
    """Hands out labels, and keeps which are tied to each other and which are fixed, with the reason."""

    def __init__(self) -> None:
        self.count = 0
        self._pairs: list[Tensor] = []
        self.fixed: list[tuple[Tensor, str]] = []

    def new(self, number: int) -> Tensor:
        """(number,) labels that nobody has yet."""
        self.count += number
        return torch.arange(self.count - number, self.count)

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Make classes of labels that meet.

        Args:
            first: any shape.
            second: any shape that broadcasts against the first.
        """
        if first is not second:
            self._pairs.append(torch.stack([part.flatten() for part in torch.broadcast_tensors(first, second)]))

    def fix(self, labels: Tensor, reason: str) -> None:
        """Say that channels must stay.

        Args:
            labels: any shape.
            reason: why.
        """
        self.fixed.append((labels.flatten(), reason))

    def classes(self) -> Tensor:
        """(count,): for each label the number of its class."""
        rows, columns = torch.cat([torch.empty(2, 0, dtype=torch.int64), *self._pairs], 1).numpy()
        graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(self.count, self.count))
        return torch.from_numpy(connected_components(graph, directed=False)[1]).long()

    def first_fixed(self, classes: Tensor) -> Tensor:
        """For each class which entry of `fixed` says first that it must stay, or -1 if none does: (count,).

        Args:
            classes: (count,), for each label the number of its class.
        """
        first = torch.full((self.count,), -1)
        for index, (labels, _) in reversed(list(enumerate(self.fixed))):
            first[classes[labels]] = index
        return first

    def whole(self, value: Value, axes: tuple[int, ...], reason: str) -> Value:
        """A value for an operator that needs all of some axes: what lies along them goes together, or must stay.

        Where the labels depend on other axes as well (on heads, beside what one head holds), each place on those goes
        as a whole. Where they do not, nothing may go, for the reason given.
        """
        inner = [axis for axis in value.varying if axis in {one % len(value.shape) for one in axes}]
        if not inner:
            return value
        if len(inner) == len(value.varying):
            self.fix(value.labels, reason)
            return self.rigid(value.shape, reason)
        kept = value.labels
        for axis in inner:
            kept = kept.narrow(axis, 0, 1)
        self.tie(value.labels, kept)
        return Value(kept, value.shape)

    def rigid(self, shape: Shape, reason: str) -> Value:
        """A value of which nothing may go."""
        label = self.new(1)
        self.fix(label, reason)
        return Value(label.reshape([1] * len(shape)), shape)

    def meet(self, values: list[Value], shape: Shape, name: str) -> Value:
        """What an elementwise operator makes of values that broadcast against each other.

        Args:
            values: what it reads.
            shape: of what it gives.
            name: of the operator, for reasons.
        """
        placed = [_placed(value, len(shape)) for value in values]
        moving = [value for value in placed if value.varying and not value.stored]
        if not moving:
            return self._meet_flat(placed, shape)
        axes = set.intersection(*(set(value.varying) for value in moving))
        if not axes:
            reason = f"it meets channels along another axis in {name}"
            for value in placed:
                self.fix(value.labels, reason)
            return self.rigid(shape, reason)
        result = min(moving, key=lambda value: len(value.varying))
        for value in placed:
            self._meet_one(value, result, axes, name)
        return Value(result.labels, shape)

    def _meet_one(self, value: Value, result: Value, axes: set[int], name: str) -> None:
        """Tie what one value brings to the labels of the others."""
        if all(value.shape[axis] == 1 for axis in axes):
            self.fix(value.labels, f"it is one channel, which meets several in {name}")
            return
        self.tie(value.labels, result.labels)

    def _meet_flat(self, placed: list[Value], shape: Shape) -> Value:
        """Values of one class each."""
        stored = all(value.stored for value in placed)
        first = next((value for value in placed if not value.stored), placed[0])
        labels = torch.broadcast_tensors(*(value.labels for value in placed))[0] if stored else first.labels
        for value in placed:
            self.tie(value.labels, labels)
        return Value(labels, shape, stored)


def _placed(value: Value, rank: int) -> Value:
    """A value with axes of size 1 in front, as broadcasting puts them."""
    missing = (1,) * (rank - len(value.shape))
    return Value(value.labels.reshape(missing + tuple(value.labels.shape)), missing + value.shape, value.stored)
