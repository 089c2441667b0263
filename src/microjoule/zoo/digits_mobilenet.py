"""A small network of MobileNetV2's kind for scikit-learn's digits, of 8x8 pixels; its weights come with the package.

Source: Sandler et al. 2018, MobileNetV2, https://arxiv.org/abs/1801.04381.
"""

from torch import Tensor, nn

from microjoule.zoo.mobilenet_v2 import InvertedResidual, conv_block
from microjoule.zoo.same_padding import global_mean

BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1))
"""(expansion, channels, stride) of each inverted residual."""


class DigitsMobileNet(nn.Module):
    """About 46 thousand parameters, batch norms and ReLU6, as in its large model."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_block(1, 16)]
        ins = 16
        for expansion, outs, stride in BLOCKS:
            blocks.append(InvertedResidual(ins, outs, stride=stride, expansion=expansion))
            ins = outs
        blocks.append(conv_block(ins, 128, kernel=1))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits.

        Args:
            x: (n, 1, 8, 8), 0 to 1.

        Returns:
            (n, 10).
        """
        scores: Tensor = self.classifier(global_mean(self.features(x)))
        return scores
