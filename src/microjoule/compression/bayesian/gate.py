"""What every learned gate is: a distribution of one factor for each unit of a group."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Gate(nn.Module, ABC):
    """Factors of units: drawn for each sample while it learns, fixed otherwise."""

    @abstractmethod
    def draw(self, samples: int) -> Tensor:
        """(samples, units): factors drawn from the distribution."""

    @abstractmethod
    def fixed(self) -> Tensor:
        """(units,): the factors that the trained network has."""

    @abstractmethod
    def divergence(self) -> Tensor:
        """(units,): what each unit adds to the penalty."""

    @abstractmethod
    def score(self) -> Tensor:
        """(units,): the larger, the less a unit tells; 0 and above is pruned unless a budget says otherwise."""

    def forward(self, samples: int) -> Tensor:
        """The factors for a number of samples, (samples, units) or (1, units)."""
        return self.draw(samples) if self.training else self.fixed()[None]


class NormalGate(Gate):
    """Factors with normal posteriors N(mean, exp(log_variance)) that begin at 1.

    Args:
        units: how many there are.
        log_variance: at the start.
    """

    def __init__(self, units: int, log_variance: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.ones(units))
        self.log_variance = nn.Parameter(torch.full((units,), log_variance))

    def draw(self, samples: int) -> Tensor:
        """(samples, units): mean + sigma e with e from N(0, 1)."""
        noise = torch.randn(samples, *self.mean.shape, device=self.mean.device)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def fixed(self) -> Tensor:
        """(units,): the means."""
        return self.mean
