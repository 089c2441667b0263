"""DeepLabV3 over MobileNetV2 at output stride 8, batch norms folded away.

Source: Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation,
https://arxiv.org/abs/1706.05587, section 3.3 (image-level features), with the backbone of Sandler et al. 2018,
https://arxiv.org/abs/1801.04381, section 6.3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import SameConv2d

BLOCKS = (
    (16, 24, 2, 1),
    (24, 24, 1, 1),
    (24, 32, 2, 1),
    (32, 32, 1, 1),
    (32, 32, 1, 1),
    (32, 64, 1, 1),
    *((64, 64, 1, 2),) * 3,
    (64, 96, 1, 2),
    *((96, 96, 1, 2),) * 2,
    (96, 160, 1, 2),
    *((160, 160, 1, 4),) * 2,
    (160, 320, 1, 4),
)
"""(in, out, stride, dilation); strides beyond 8 are replaced by dilation."""


class Conv(nn.Module):
    """A convolution named `c`; whoever calls it knows whether a ReLU6 follows."""

    def __init__(
        self, ins: int, outs: int, *, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = SameConv2d(ins, outs, kernel, stride, dilation=dilation, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, ceil(height / stride), ceil(width / stride)).
        """
        convolved: Tensor = self.c(x)
        return convolved


def block(ins: int, inner: int, outs: int, *, stride: int, dilation: int) -> nn.ModuleList:
    """Expand, depthwise, project."""
    return nn.ModuleList(
        [
            Conv(ins, inner),
            Conv(inner, inner, kernel=3, stride=stride, dilation=dilation, groups=inner),
            Conv(inner, outs),
        ]
    )


class DeepLabV3(nn.Module):
    """Scores of each class on a grid eight times coarser than the image.

    Args:
        classes: number of classes, the background included.
    """

    def __init__(self, classes: int = 21) -> None:
        super().__init__()
        self.stem = nn.ModuleList([Conv(3, 32, kernel=3, stride=2), Conv(32, 32, kernel=3, groups=32), Conv(32, 16)])
        self.b = nn.ModuleList(
            block(ins, 6 * ins, outs, stride=stride, dilation=dilation) for ins, outs, stride, dilation in BLOCKS
        )
        self.aspp = Conv(320, 256)
        self.ip = Conv(320, 256)
        self.cp = Conv(512, 256)
        self.lg = Conv(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes, height / 8, width / 8), rounded up.
        """
        x = self._features(x)
        pooled = F.relu6(self.ip(F.adaptive_avg_pool2d(x, (1, 1)))).expand(-1, -1, x.shape[2], x.shape[3])
        near = F.relu6(self.aspp(x))
        scores: Tensor = self.lg(F.relu6(self.cp(torch.cat([pooled, near], 1))))
        return scores

    def _features(self, x: Tensor) -> Tensor:
        first, depthwise, project = self.stem
        x = project(F.relu6(depthwise(F.relu6(first(x)))))
        for layers, (ins, outs, stride, _) in zip(self.b, BLOCKS, strict=True):
            expand, depthwise, project = layers.children()
            projected = project(F.relu6(depthwise(F.relu6(expand(x)))))
            x = x + projected if stride == 1 and ins == outs else projected
        return x
