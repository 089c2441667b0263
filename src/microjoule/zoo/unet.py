"""A small U-Net: down, up by transposed convolutions, and what was passed on the way down joined on the way up.

Source: Ronneberger et al. 2015, U-Net, https://arxiv.org/abs/1505.04597, section 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def double_conv(ins: int, outs: int) -> nn.Sequential:
    """Two convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (ins, outs):
        layers += [nn.Conv2d(channels, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A score of each class for each pixel.

    Args:
        classes: number of classes.
        width: channels at full resolution.
    """

    def __init__(self, classes: int = 11, width: int = 8) -> None:
        super().__init__()
        self.down1 = double_conv(3, width)
        self.down2 = double_conv(width, 2 * width)
        self.bottom = double_conv(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = double_conv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = double_conv(2 * width, width)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score.

        Args:
            x: (n, 3, height, width), both sides divisible by 4.

        Returns:
            (n, classes, height, width).
        """
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        up = self.up2(self.bottom(F.max_pool2d(coarse, 2)))
        up = self.up1(self.join2(torch.cat([coarse, up], 1)))
        scores: Tensor = self.out(self.join1(torch.cat([fine, up], 1)))
        return scores
