"""How far one runtime's integers are from another's, gathered batch after batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.records.measured import LayerAgreement, Verified

ENOUGH = 0.999
"""The share of values within one step below which a layer departs."""


@dataclass
class Tally:
    """One value's differences.

    Args:
        zero_point: of its grid; signals are counted from there.
    """

    zero_point: int
    largest: int = 0
    equal: int = 0
    within_one: int = 0
    values: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def update(self, expected: Tensor, got: Tensor) -> None:
        """Take in one batch.

        Args:
            expected: any shape, integers.
            got: the shape of `expected`, integers.
        """
        if expected.shape != got.shape:
            raise DataError(
                "comparison",
                f"shapes {tuple(expected.shape)} and {tuple(got.shape)} differ",
                remedy="export the network again",
            )
        reference = expected.to(torch.int32)
        apart = (reference - got.to(torch.int32)).abs()
        self.largest = max(self.largest, int(apart.max()))
        self.equal += int((apart == 0).sum())
        self.within_one += int((apart <= 1).sum())
        self.values += apart.numel()
        self.signal += float((reference - self.zero_point).double().square().sum())
        self.noise += float(apart.double().square().sum())

    def summary(self, name: str) -> LayerAgreement:
        """All batches together."""
        if self.noise == 0:
            sqnr = math.inf
        else:
            sqnr = 10 * math.log10(self.signal / self.noise) if self.signal > 0 else -math.inf
        return LayerAgreement(name, self.largest, self.equal / self.values, self.within_one / self.values, sqnr)


@dataclass
class Comparison:
    """One runtime's tallies.

    Args:
        runtime: its name.
        tallies: by value, in the order of the network.
    """

    runtime: str
    tallies: dict[str, Tally]
    samples: int = 0
    same_top: int = 0
    scored: bool = True

    def update(self, name: str, expected: Tensor, got: Tensor) -> None:
        """One batch of one value.

        Args:
            name: of the value.
            expected: any shape, integers.
            got: the shape of `expected`, integers.
        """
        self.tallies[name].update(expected, got)

    def update_outputs(self, expected: Tensor, got: Tensor) -> None:
        """One batch of the network's outputs.

        Args:
            expected: (n, classes), or anything else, which is not scored.
            got: as `expected`.
        """
        self.samples += len(expected)
        self.scored = self.scored and expected.dim() == 2 and expected.shape[1] > 1
        if self.scored:
            self.same_top += int((expected.argmax(1) == got.argmax(1)).sum())

    def record(self, path: str, values: int) -> Verified:
        """What was found.

        Args:
            path: of the file.
            values: how many quantized values the network has.
        """
        layers = tuple(tally.summary(name) for name, tally in self.tallies.items())
        departed = next((layer.name for layer in layers if layer.within_one_step_share < ENOUGH), None)
        top1 = self.same_top / self.samples if self.scored else None
        return Verified(self.runtime, path, self.samples, layers, departed, top1, values)
