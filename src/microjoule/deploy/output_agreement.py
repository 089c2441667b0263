"""How far a deployed network's outputs are from the simulation's and from floating point, batch after batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.records.measured import OutputAgreement


@dataclass
class _Pair:
    """One output of two networks.

    Args:
        signal: the sum of the first one's squares.
        noise: of their differences' squares.
        worst: the lowest of the samples' ratios, and which sample it is.
    """

    signal: float = 0.0
    noise: float = 0.0
    equal: int = 0
    values: int = 0
    worst: tuple[float, int] | None = None

    def update(self, expected: Tensor, got: Tensor, first: int, samples: int | None) -> None:
        """Take in one batch.

        Args:
            expected: any shape.
            got: the shape of `expected`.
            first: the number of its first sample.
            samples: how many it has along the first axis; None if there is none for each sample.
        """
        apart = _apart(expected, got)
        self.equal += int((apart == 0).sum())
        self.values += apart.numel()
        real = expected.is_floating_point()
        signal = torch.nan_to_num(expected.double(), posinf=0.0, neginf=0.0).square()
        self.signal += float(signal.sum())
        self.noise += float(apart.square().sum())
        if samples is None or not bool((apart != 0).any()):
            return
        rows = apart.reshape(samples, -1)
        if real:
            each = [decibel(s, n) for s, n in zip(_sums(signal, samples), _sums(apart.square(), samples), strict=True)]
        else:
            each = (rows == 0).double().mean(1).tolist()
        index = min(range(samples), key=each.__getitem__)
        if self.worst is None or each[index] < self.worst[0]:
            self.worst = each[index], first + index

    @property
    def sqnr_db(self) -> float:
        return decibel(self.signal, self.noise)

    @property
    def equal_share(self) -> float:
        return self.equal / self.values if self.values else 1.0


def _apart(expected: Tensor, got: Tensor) -> Tensor:
    """Differences in float64; 0 where both are the same infinity or no number, infinite where one alone is."""
    a, b = expected.double(), got.double()
    same = (a == b) | (a.isnan() & b.isnan())
    return torch.where(same, 0.0, torch.nan_to_num(a - b, nan=math.inf, posinf=math.inf, neginf=math.inf))


def _sums(values: Tensor, samples: int) -> list[float]:
    sums: list[float] = values.reshape(samples, -1).sum(1).tolist()
    return sums


def decibel(signal: float, noise: float) -> float:
    """The ratio of two powers in dB: infinite without noise, and minus that for noise alone."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf


@dataclass
class OutputTally:
    """One output of a deployed network, the simulation and the network in floating point.

    Args:
        name: of the output.
    """

    name: str
    real: bool = True
    simulated: _Pair = field(default_factory=_Pair)
    fp32: _Pair = field(default_factory=_Pair)
    between: _Pair = field(default_factory=_Pair)

    def update(self, deployed: Tensor, simulated: Tensor, fp32: Tensor, *, first: int, samples: int) -> None:
        """Take in one batch.

        Args:
            deployed: any shape.
            simulated: the shape of `deployed`.
            fp32: the shape of `deployed`.
            first: the number of its first sample.
            samples: how many it has.
        """
        if not deployed.shape == simulated.shape == fp32.shape:
            shapes = " and ".join(str(tuple(one.shape)) for one in (deployed, simulated, fp32))
            raise DataError(f"output {self.name}", f"has the shapes {shapes}", remedy="export the network again")
        self.real = simulated.is_floating_point()
        each = samples if simulated.shape[:1] == (samples,) and simulated.numel() else None
        self.simulated.update(simulated, deployed, first, each)
        self.fp32.update(fp32, deployed, first, each)
        self.between.update(fp32, simulated, first, each)

    def summary(self) -> OutputAgreement:
        """All batches together."""
        near, far, between = self.simulated, self.fp32, self.between
        ratios = (near.sqnr_db, far.sqnr_db, between.sqnr_db) if self.real else (None, None, None)
        shares = (None, None) if self.real else (near.equal_share, far.equal_share)
        worst = [(None, None) if pair.worst is None else (pair.worst[1], pair.worst[0]) for pair in (near, far)]
        return OutputAgreement(self.name, *ratios, *shares, *worst[0], *worst[1])


LEAST_DB = 20.0
"""A hundredth of an output's power: what rounding otherwise costs at most in a network that can be trusted."""

EXACT_DB = 60.0
"""From here on a difference is that of the order of sums in float32, and is not looked at."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How near outputs must be.

    Args:
        simulated_db: deployed to the simulation, at least.
        fp32_db: deployed to floating point, at least; None for no limit.
        lost_db: by how much the deployed output may be further from floating point than the simulated one.
        equal_share: of integers, deployed and simulated, at least.
    """

    simulated_db: float = LEAST_DB
    fp32_db: float | None = None
    lost_db: float = 3.0
    equal_share: float = 0.99

    def problems(self, outputs: Sequence[OutputAgreement]) -> tuple[str, ...]:
        """What is further away than it may be, in words."""
        return tuple(f"output {output.name} {problem}" for output in outputs for problem in self._problems(output))

    def _problems(self, output: OutputAgreement) -> list[str]:
        if output.equal_share is not None:
            share = output.equal_share
            return [f"is as simulated in {share:.2%} of its entries"] if share < self.equal_share else []
        near, far, between = (output.sqnr_db, output.fp32_sqnr_db, output.simulated_fp32_sqnr_db)
        assert near is not None
        assert far is not None
        assert between is not None
        found = []
        if near < self.simulated_db:
            found.append(f"agrees with the simulation to {near:.1f} dB, below {self.simulated_db:g}")
        if self.fp32_db is not None and far < self.fp32_db:
            found.append(f"agrees with FP32 to {far:.1f} dB, below {self.fp32_db:g}")
        if far < min(between, EXACT_DB) - self.lost_db:
            found.append(f"agrees with FP32 to {far:.1f} dB, and simulated to {between:.1f}")
        return found
