"""SqueezeNet 1.1: fire modules that squeeze before they expand, with torchvision's names.

Source: Iandola et al. 2016, SqueezeNet, https://arxiv.org/abs/1602.07360, table 1; version 1.1 pools earlier.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import global_mean


class Fire(nn.Module):
    """A squeezing 1x1 convolution, then 1x1 and 3x3 ones side by side."""

    def __init__(self, ins: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(ins, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """One module.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, 2 * expanded, height, width).
        """
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


def pool() -> nn.MaxPool2d:
    """Halve each side; the last odd row and column count too."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class SqueezeNet(nn.Module):
    """The network for images of 224 pixels.

    Args:
        classes: number of scores.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool()),
            *(Fire(64, 16, 64), Fire(128, 16, 64), pool()),
            *(Fire(128, 32, 128), Fire(256, 32, 128), pool()),
            *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
        )
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes), none negative.
        """
        return global_mean(self.classifier(self.features(x)))
