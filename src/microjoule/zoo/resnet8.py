"""ResNet-8 of MLPerf Tiny: three residual blocks for CIFAR-10.

Source: Banbury et al. 2021, MLPerf Tiny Benchmark, https://arxiv.org/abs/2106.07597, section 4.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import ConvBatchNorm, SameConv2d, global_mean


class Block(nn.Module):
    """Two 3x3 convolutions `a` and `b`, and a 1x1 shortcut `d` where the shape changes."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.a = ConvBatchNorm(ins, outs, stride=stride)
        self.b = ConvBatchNorm(outs, outs)
        self.d = SameConv2d(ins, outs, 1, stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, height / stride, width / stride).
        """
        filtered: Tensor = self.b(F.relu(self.a(x)))
        return F.relu(filtered + (x if self.d is None else self.d(x)))


class ResNet8(nn.Module):
    """Scores of the ten classes; takes pixels of 0 to 255 as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBatchNorm(3, 16)
        self.b1 = Block(16, 16, 1)
        self.b2 = Block(16, 32, 2)
        self.b3 = Block(32, 64, 2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Score.

        Args:
            x: (n, 3, 32, 32).

        Returns:
            (n, 10).
        """
        x = F.relu(self.stem(x))
        x = self.b3(self.b2(self.b1(x)))
        scores: Tensor = self.fc(global_mean(x))
        return scores
