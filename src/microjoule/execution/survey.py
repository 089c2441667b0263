"""What data holds, seen as it goes by: the range of each input, whether samples differ, and which classes occur.

What is seen is held against what is known of the network: data that was prepared in another way than in training costs
accuracy and raises no error anywhere, so what contradicts is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.execution.batches import Batches
from microjoule.execution.binding import Batch
from microjoule.execution.signature import Input, Signature, part_of
from microjoule.graph.card import DATA, DECLARED, MODEL_CARD, PREPROCESSING, InputRange, Range
from microjoule.graph.network import Network
from microjoule.graph.notice import DATA as DATA_NOTICE
from microjoule.graph.notice import RANGE, notice
from microjoule.records.noticed import Noticed

MARGIN = 0.25
"""By which share of its width data may exceed a range: another way to prepare inputs exceeds it by more than half."""

WIDER = 0.5
"""The same for a range that other data told, which need not have held the extremes."""

NARROW = 0.5
"""The share of a declared range that images cover at least: nearly all do from black to white."""

WORDS = {
    DECLARED: "as declared",
    MODEL_CARD: "by the model's card",
    PREPROCESSING: "by its preprocessing",
    DATA: "in other data",
}
"""What messages call the origin of a range."""

SAMPLES = 8
"""So many samples tell whether all are alike."""

VALUES = 16
"""So many values tell whether an input ever changes."""


class Survey:
    """What was seen of some data.

    Args:
        network: whose inputs it is.
        name: of the data, for messages.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.samples = 0
        self._signature = Signature.of(network)
        self._bounds: dict[str, Range] = {}
        self._values: dict[str, int] = {}
        self._first: Any = None
        self._alike = True
        self._classes: set[int] | None = set()

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        assert self._signature is not None
        samples = self._signature.count(batch.inputs)
        self.samples += samples
        for entry, value in zip(self._signature.inputs, batch.inputs, strict=False):
            for leaf in pytree.tree_leaves(value):
                if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel():
                    self._widen(entry.name, leaf)
        self._compare(batch.inputs, samples)
        self._classify(batch.targets, samples)

    def _widen(self, name: str, value: Tensor) -> None:
        low, high = (float(bound) for bound in torch.aminmax(value))
        before = self._bounds.get(name, (low, high))
        self._bounds[name] = min(low, before[0]), max(high, before[1])
        self._values[name] = self._values.get(name, 0) + value.numel()

    def _compare(self, inputs: tuple[Any, ...], samples: int) -> None:
        """Whether all samples are the first one again."""
        assert self._signature is not None
        if self._first is None:
            self._first = part_of(inputs, slice(0, 1), self._signature.axis)
        for number in range(samples):
            if not self._alike:
                return
            one = part_of(inputs, slice(number, number + 1), self._signature.axis)
            self._alike = all(map(_same, pytree.tree_leaves(one), pytree.tree_leaves(self._first)))

    def _classify(self, targets: Any, samples: int) -> None:
        """Which classes occur; None where targets are no classes."""
        classes = isinstance(targets, Tensor) and targets.shape == (samples,) and not targets.is_floating_point()
        if self._classes is not None:
            self._classes = self._classes | set(targets.unique().tolist()) if classes else None

    # What follows from it -------------------------------------------------------------------------

    @property
    def ranges(self) -> dict[str, InputRange]:
        """The range of each floating-point input, by its name."""
        return {name: InputRange(*bounds, DATA) for name, bounds in self._bounds.items()}

    @property
    def constant(self) -> float | None:
        """The one value that all floating-point inputs hold; None if they hold several, or too few to tell."""
        ends = {bound for bounds in self._bounds.values() for bound in bounds}
        return next(iter(ends)) if len(ends) == 1 and sum(self._values.values()) >= VALUES else None

    def warn(self) -> None:
        """Tell, in the network's history, what contradicts what is known of it, or makes the data useless."""
        for noticed in self.notices():
            notice(self.network, noticed)

    def notices(self) -> Iterator[Noticed]:
        """What there is to tell."""
        assert self._signature is not None
        for entry in self._signature.inputs:
            if entry.name in self._bounds:
                yield from self._of_range(entry)
        if self._alike and self.samples >= SAMPLES and self.constant is None:
            fact = f"all {self.samples} samples are the same"
            yield Noticed(DATA_NOTICE, self.name, fact, "give samples as different as the network will see")
        if self._classes is not None and len(self._classes) == 1 and self.samples >= SAMPLES:
            fact = f"all {self.samples} samples are of class {next(iter(self._classes))}"
            yield Noticed(
                DATA_NOTICE, self.name, fact, "give samples of every class: shuffle, or take them from the whole set"
            )

    def _of_range(self, entry: Input) -> Iterator[Noticed]:
        known, (low, high) = self.network.card.range_of(entry.name), self._bounds[entry.name]
        if known is None:
            return
        width = known.high - known.low
        slack = width * (WIDER if known.origin == DATA else MARGIN)
        remedy = "prepare the data as in training, or declare the range that inputs have, input_range=(low, high)"
        other = f"{known.low:.4g} to {known.high:.4g} {WORDS[known.origin]}"
        fact = f"{self.name} has values of {low:.4g} to {high:.4g}, and the range of {entry.name} is {other}"
        image = isinstance(entry.example, Tensor) and entry.example.dim() == 4 and self.samples >= SAMPLES
        if low < known.low - slack or high > known.high + slack or (image and high - low <= NARROW * width):
            yield Noticed(RANGE, entry.name, fact, remedy)


def watched(data: Batches, survey: Survey) -> Iterator[Batch]:
    """The batches of some data, of which a survey sees each."""
    for batch in data:
        survey.update(batch)
        yield batch


def keep_ranges(network: Network, found: Mapping[str, InputRange]) -> None:
    """Note in a network's card the ranges that it was made for, where the card says nothing of them."""
    ranges = {name: (one.low, one.high) for name, one in found.items() if one.low < one.high}
    if ranges and all(network.card.range_of(name) is None for name in found):
        network.card = replace(network.card, input_range=ranges, origin=next(iter(found.values())).origin)


def _same(one: Any, other: Any) -> bool:
    return bool(torch.equal(one, other)) if isinstance(one, Tensor) and isinstance(other, Tensor) else True
