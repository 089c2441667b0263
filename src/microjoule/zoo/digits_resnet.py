"""A small residual network for scikit-learn's digits, of 8x8 pixels; its weights come with the package.

Its convolutions are wide enough that integers save time: on an x86 core it takes about 7 million multiply-accumulates
a digit, and ONNX Runtime's own work is small beside them.

Source: He et al. 2015, Deep Residual Learning, https://arxiv.org/abs/1512.03385, table 1.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.resnet import BasicBlock
from microjoule.zoo.same_padding import global_mean

CHANNELS = (64, 96)


class DigitsResNet(nn.Module):
    """A convolution, a residual block at 8x8, one at 4x4 and a classifier: 220 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        first, second = CHANNELS
        self.conv1 = nn.Conv2d(1, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = BasicBlock(first, first, 1)
        self.layer2 = BasicBlock(first, second, 2)
        self.fc = nn.Linear(second, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits.

        Args:
            x: (n, 1, 8, 8), 0 to 1.

        Returns:
            (n, 10).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        scores: Tensor = self.fc(global_mean(self.layer2(self.layer1(x))))
        return scores
