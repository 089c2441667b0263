"""EfficientNet-Lite0: EfficientNet-B0 for integer hardware, so without squeeze-and-excite, and with ReLU6.

Source: Tan and Le 2019, EfficientNet, https://arxiv.org/abs/1905.11946, table 1; the Lite variants are those of
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

from torch import Tensor, nn

from microjoule.zoo.same_padding import SameConv2d, global_mean

STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""(expansion, kernel, channels, blocks, stride of the first block), table 1 of the paper."""


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, ins: int, outs: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = ins * expansion
        self.expand = nn.Conv2d(ins, inner, 1, bias=False) if expansion > 1 else None
        self.bn0 = nn.BatchNorm2d(inner, eps=1e-3) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self.bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self.project = nn.Conv2d(inner, outs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs, eps=1e-3)
        self.act = nn.ReLU6()
        self.adds_input = stride == 1 and ins == outs

    def forward(self, x: Tensor) -> Tensor:
        """One block.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, ceil(height / stride), ceil(width / stride)).
        """
        inner = x
        if self.expand is not None and self.bn0 is not None:
            inner = self.act(self.bn0(self.expand(x)))
        inner = self.act(self.bn1(self.depthwise(inner)))
        projected: Tensor = self.bn2(self.project(inner))
        return x + projected if self.adds_input else projected


class EfficientNetLite0(nn.Module):
    """The network for images of 224 pixels.

    Args:
        classes: number of scores.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=1e-3), nn.ReLU6())
        blocks = []
        ins = 32
        for expansion, kernel, outs, count, first_stride in STAGES:
            for i in range(count):
                stride = first_stride if i == 0 else 1
                blocks.append(Block(ins, outs, expansion=expansion, kernel=kernel, stride=stride))
                ins = outs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Conv2d(ins, 1280, 1, bias=False), nn.BatchNorm2d(1280, eps=1e-3), nn.ReLU6())
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, height, width).

        Returns:
            (n, classes).
        """
        features = global_mean(self.head(self.blocks(self.stem(x))))
        scores: Tensor = self.fc(self.dropout(features))
        return scores
