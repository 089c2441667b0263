"""ResNets for CIFAR-10, with shortcuts without parameters (option A): subsample, and pad with zero channels.

Source: He et al. 2015, Deep Residual Learning, https://arxiv.org/abs/1512.03385, section 4.2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import global_mean


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.stride = stride
        self.missing = outs - ins

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, height / stride, width / stride).
        """
        inner = F.relu(self.bn1(self.conv1(x)))
        outer: Tensor = self.bn2(self.conv2(inner))
        return F.relu(outer + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if not self.missing:
            return x
        half = self.missing // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.missing - half))


def stage(ins: int, outs: int, *, blocks: int, stride: int) -> nn.Sequential:
    """Blocks one after another, the first with the stride."""
    rest = [Block(outs, outs, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(ins, outs, stride), *rest)


class CifarResNet(nn.Module):
    """6 * blocks + 2 layers deep.

    Args:
        blocks: in each of the three stages: 3 for ResNet-20, 5 for 32, 9 for 56.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(16, 16, blocks=blocks, stride=1)
        self.layer2 = stage(16, 32, blocks=blocks, stride=2)
        self.layer3 = stage(32, 64, blocks=blocks, stride=2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, 32, 32).

        Returns:
            (n, 10).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.linear(global_mean(x))
        return scores
