"""Convolutions padded as TensorFlow's SAME does: the odd pixel goes to the right and to the bottom.

The networks here that were trained with TensorFlow need it: with symmetric padding MobileNetV2 sees every
stride-2 layer shifted by one pixel and loses about eight points.

Source: TensorFlow, tf.nn.convolution, https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, *, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """How many zeros go before and after an axis of `size` values, so that ceil(size / stride) come out."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution with SAME padding.

    Where the padding is symmetric it is the convolution's own, so that no operator is added; otherwise the input is
    padded first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, ceil(height / stride), ceil(width / stride)).
        """
        top, bottom = self._padding_along(0, x.shape[2])
        left, right = self._padding_along(1, x.shape[3])
        if (top, left) == (bottom, right):
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def _padding_along(self, axis: int, size: int) -> tuple[int, int]:
        return same_padding(size, kernel=self.kernel_size[axis], stride=self.stride[axis], dilation=self.dilation[axis])


class ConvBatchNorm(nn.Module):
    """A convolution with SAME padding, and its batch norm, named `conv` and `bn` as in the MLPerf Tiny networks."""

    def __init__(
        self, ins: int, outs: int, *, kernel: int | tuple[int, int] = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = SameConv2d(ins, outs, kernel, stride, groups=groups)
        self.bn = nn.BatchNorm2d(outs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise.

        Args:
            x: (n, in, height, width).

        Returns:
            (n, out, ceil(height / stride), ceil(width / stride)).
        """
        normalised: Tensor = self.bn(self.conv(x))
        return normalised


def global_mean(x: Tensor) -> Tensor:
    """The mean of each channel.

    Args:
        x: (n, channels, height, width).

    Returns:
        (n, channels).
    """
    return F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
