"""MobileNetV1: thirteen depthwise separable convolutions.

Source: Howard et al. 2017, MobileNets, https://arxiv.org/abs/1704.04861, table 1.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import ConvBatchNorm, SameConv2d, global_mean

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels after the first convolution and after each pointwise one, at width 1."""

HALVING = (1, 3, 5, 11)
"""The depthwise convolutions, counted from 0, with a stride of 2."""


def layers(width: float) -> list[tuple[int, int, int, int, int]]:
    """(in, out, kernel, stride, groups) of the 27 convolutions of a network of this width."""
    channels = [int(full * width) for full in WIDTHS]
    found = [(3, channels[0], 3, 2, 1)]
    for i, (ins, outs) in enumerate(pairwise(channels)):
        found.append((ins, ins, 3, 2 if i in HALVING else 1, ins))
        found.append((ins, outs, 1, 1, 1))
    return found


class MobileNetV1(nn.Module):
    """The network as Keras has it: batch norms with eps 1e-3, ReLU6, SAME padding.

    Args:
        width: factor on all numbers of channels.
        classes: number of scores.
    """

    def __init__(self, width: float = 0.25, classes: int = 1000) -> None:
        super().__init__()
        blocks = [
            nn.Sequential(
                SameConv2d(ins, outs, kernel, stride, groups=groups, bias=False),
                nn.BatchNorm2d(outs, eps=1e-3),
                nn.ReLU6(),
            )
            for ins, outs, kernel, stride, groups in layers(width)
        ]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(int(WIDTHS[-1] * width), classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes).
        """
        scores: Tensor = self.classifier(global_mean(self.features(x)))
        return scores


class PersonMobileNetV1(nn.Module):
    """The person detector of MLPerf Tiny (visual wake words): width 0.25, ReLU, biases beside the batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.ModuleList(
            ConvBatchNorm(ins, outs, kernel=kernel, stride=stride, groups=groups)
            for ins, outs, kernel, stride, groups in layers(0.25)
        )
        self.fc = nn.Linear(256, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of "no person" and "person".

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, 2).
        """
        for block in self.f:
            x = F.relu(block(x))
        scores: Tensor = self.fc(global_mean(x))
        return scores
