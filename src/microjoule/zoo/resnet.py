"""ResNet-18, with torchvision's names.

Source: He et al. 2015, Deep Residual Learning, https://arxiv.org/abs/1512.03385, table 1.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import global_mean


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and a 1x1 shortcut where the shape changes."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs)) if stride > 1 else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, height / stride, width / stride).
        """
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        joined: Tensor = self.relu(inner + shortcut)
        return joined


class ResNet18(nn.Module):
    """The network for images of 224 pixels.

    Args:
        classes: number of scores.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes).
        """
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: Tensor = self.fc(global_mean(x))
        return scores
