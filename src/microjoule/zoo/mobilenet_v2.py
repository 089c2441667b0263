"""MobileNetV2: inverted residuals with linear bottlenecks, with torchvision's names.

Source: Sandler et al. 2018, MobileNetV2, https://arxiv.org/abs/1801.04381, table 2.
"""

from torch import Tensor, nn

from microjoule.zoo.same_padding import SameConv2d, global_mean

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels, blocks, stride of the first block), table 2 of the paper."""


def conv_block(ins: int, outs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with SAME padding, its batch norm and a ReLU6."""
    return nn.Sequential(
        SameConv2d(ins, outs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outs), nn.ReLU6()
    )


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shapes allow it."""

    def __init__(self, ins: int, outs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        inner = ins * expansion
        expand = [conv_block(ins, inner, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            conv_block(inner, inner, stride=stride, groups=inner),
            nn.Conv2d(inner, outs, 1, bias=False),
            nn.BatchNorm2d(outs),
        )
        self.adds_input = stride == 1 and ins == outs

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, ceil(height / stride), ceil(width / stride)).
        """
        projected: Tensor = self.conv(x)
        return x + projected if self.adds_input else projected


class MobileNetV2(nn.Module):
    """The network at width 1, with SAME padding as it was trained.

    Args:
        classes: number of scores.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_block(3, 32, stride=2)]
        ins = 32
        for expansion, outs, count, first_stride in STAGES:
            for i in range(count):
                stride = first_stride if i == 0 else 1
                blocks.append(InvertedResidual(ins, outs, stride=stride, expansion=expansion))
                ins = outs
        blocks.append(conv_block(ins, 1280, kernel=1))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes).
        """
        scores: Tensor = self.classifier(global_mean(self.features(x)))
        return scores
