"""What every learned gate is: a distribution of one factor for each unit of a group."""

from abc import ABC, abstractmethod

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
