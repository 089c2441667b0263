"""How far one runtime's integers are from another's, gathered batch after batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from microjoule.deploy.output_agreement import Limits, OutputTally
from microjoule.errors import DataError
from microjoule.records.measured import LayerAgreement, Verified

ENOUGH = 0.999
"""The share of values within one step below which a layer departs."""

ROUNDINGS = 8.0
"""How many times as far as one order of summing another may be from the exact sum."""


def departs(layer: LayerAgreement) -> bool:
    """Whether too few of a value's integers are within a step, and further than float32's rounding moves them."""
    return layer.within_one_step_share < ENOUGH and layer.largest_steps > 1 + ROUNDINGS * layer.rounding_steps


@dataclass
class Tally:
    """One value's differences.

    Args:
        zero_point: of its grid; signals are counted from there.
        rounding: how many steps float32's rounding moves the value, where that was asked.
    """

    zero_point: int
    largest: int = 0
    equal: int = 0
    within_one: int = 0
    values: int = 0
    signal: float = 0.0
    noise: float = 0.0
    rounding: float = 0.0

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
        self.largest = max(self.largest, int(apart.max()) if apart.numel() else 0)
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
        equal, within = ((count / self.values if self.values else 1.0) for count in (self.equal, self.within_one))
        return LayerAgreement(name, self.largest, equal, within, sqnr, self.rounding)


@dataclass
class Comparison:
    """One runtime's tallies.

    Args:
        runtime: its name.
        compared: what is compared with what, in words.
        tallies: by value, in the order of the network.
        outputs: one for each output, in their order.
    """

    runtime: str
    compared: str
    tallies: dict[str, Tally]
    outputs: list[OutputTally]
    samples: int = 0
    same_top: int = 0
    scored: bool = True
    batch_sizes: list[int] = field(default_factory=list)

    def update(self, name: str, expected: Tensor, got: Tensor) -> None:
        """One batch of one value.

        Args:
            name: of the value.
            expected: any shape, integers.
            got: the shape of `expected`, integers.
        """
        self.tallies[name].update(expected, got)

    def update_outputs(
        self, deployed: Sequence[Tensor], simulated: Sequence[Tensor], fp32: Sequence[Tensor], *, samples: int
    ) -> None:
        """One batch of the network's outputs; the first that has scores of classes tells the largest.

        Args:
            deployed: each output, any shape.
            simulated: likewise, in their order.
            fp32: likewise.
            samples: how many there are.
        """
        for tally, *values in zip(self.outputs, deployed, simulated, fp32, strict=True):
            tally.update(*values, first=self.samples, samples=samples)
        expected, got = simulated[0], deployed[0]
        self.samples += samples
        self.scored = self.scored and expected.dim() == 2 and expected.shape[1] > 1 and expected.is_floating_point()
        if self.scored:
            self.same_top += int((expected.argmax(1) == got.argmax(1)).sum())

    def record(self, path: str, values: int, *, reference: str, limits: Limits) -> Verified:
        """What was found.

        Args:
            path: of the file; empty if there is none.
            values: how many quantized values the network has.
            reference: what floating point is, in words.
            limits: how near outputs must be.
        """
        layers = tuple(tally.summary(name) for name, tally in self.tallies.items())
        outputs = tuple(tally.summary() for tally in self.outputs)
        return Verified(
            runtime=self.runtime,
            path=path,
            samples=self.samples,
            layers=layers,
            first_departure=next((layer.name for layer in layers if departs(layer)), None),
            top1_agreement=self.same_top / self.samples if self.scored and self.samples else None,
            values=values,
            compared=self.compared,
            reference=reference,
            outputs=outputs,
            batch_sizes=tuple(dict.fromkeys(self.batch_sizes)),
            problems=limits.problems(outputs),
        )
