"""MobileNetV3-Small: squeeze-and-excite and hard-swish, with torchvision's names.

Source: Howard et al. 2019, Searching for MobileNetV3, https://arxiv.org/abs/1905.02244, table 2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import global_mean

BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""(kernel, inner, out, squeeze-and-excite, hard-swish, stride), table 2 of the paper."""


def eighths(channels: float) -> int:
    """The nearest multiple of 8 that is at least 8 and not more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class SqueezeExcite(nn.Module):
    """Scale each channel by what the means of all channels say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, eighths(channels / 4), 1)
        self.fc2 = nn.Conv2d(eighths(channels / 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale.

        Args:
            x: (n, channels, height, width).

        Returns:
            The same shape.
        """
        inner = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.fc2(inner))


def conv_block(
    ins: int, outs: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: type[nn.Module] = nn.Identity
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    conv = nn.Conv2d(ins, outs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outs, eps=1e-3, momentum=0.01), activation())


class Block(nn.Module):
    """An inverted residual with a row of the table."""

    def __init__(self, ins: int, row: tuple[int, int, int, bool, bool, int]) -> None:
        super().__init__()
        kernel, inner, outs, squeezes, swishes, stride = row
        activation = nn.Hardswish if swishes else nn.ReLU
        expand = [conv_block(ins, inner, 1, activation=activation)] if inner != ins else []
        depthwise = conv_block(inner, inner, kernel, stride=stride, groups=inner, activation=activation)
        squeeze = [SqueezeExcite(inner)] if squeezes else []
        self.block = nn.Sequential(*expand, depthwise, *squeeze, conv_block(inner, outs, 1))
        self.adds_input = stride == 1 and ins == outs

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, height / stride, width / stride).
        """
        projected: Tensor = self.block(x)
        return x + projected if self.adds_input else projected


class MobileNetV3Small(nn.Module):
    """The network at width 1.

    Args:
        classes: number of scores.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_block(3, 16, 3, stride=2, activation=nn.Hardswish)]
        ins = 16
        for row in BLOCKS:
            blocks.append(Block(ins, row))
            ins = row[2]
        blocks.append(conv_block(ins, 576, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(576, 1024), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(1024, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes).
        """
        scores: Tensor = self.classifier(global_mean(self.features(x)))
        return scores
