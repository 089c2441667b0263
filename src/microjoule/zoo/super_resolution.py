"""FSRCNN and ESPCN: upscaling the luma of an image, with all convolutions before the enlargement.

Source: Dong et al. 2016, Accelerating the Super-Resolution Convolutional Neural Network,
https://arxiv.org/abs/1608.00367, section 3; Shi et al. 2016, Real-Time Single Image and Video Super-Resolution,
https://arxiv.org/abs/1609.05158, section 2.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FSRCNN_LAYERS = ((1, 56, 5), (56, 12, 1), *((12, 12, 3),) * 4, (12, 56, 1))
"""(in, out, kernel) up to the layer that makes the pixels."""


class Fsrcnn(nn.Module):
    """Shrink, map, expand, each with a PReLU; the last layer is a pixel shuffle, and one bias for all pixels.

    Args:
        scale: how many times larger each side becomes.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.f = nn.ModuleList(nn.Conv2d(i, o, k, padding=k // 2) for i, o, k in FSRCNN_LAYERS)
        self.f.append(nn.Conv2d(56, scale**2, 1, bias=False))
        self.alpha = nn.ModuleList(nn.PReLU(outs) for _, outs, _ in FSRCNN_LAYERS)
        self.bias = nn.Parameter(torch.zeros(1))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge.

        Args:
            x: (n, 1, height, width), luma of 0 to 1.

        Returns:
            (n, 1, scale * height, scale * width).
        """
        for layer, activation in zip(self.f[:-1], self.alpha, strict=True):
            x = activation(layer(x))
        return F.pixel_shuffle(self.f[-1](x), self.scale) + self.bias


class Espcn(nn.Module):
    """Three convolutions and a pixel shuffle.

    Args:
        scale: how many times larger each side becomes.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.f = nn.ModuleList(
            [nn.Conv2d(1, 64, 5, padding=2), nn.Conv2d(64, 32, 3, padding=1), nn.Conv2d(32, scale**2, 3, padding=1)]
        )
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge.

        Args:
            x: (n, 1, height, width), luma of 0 to 1.

        Returns:
            (n, 1, scale * height, scale * width), -1 to 1.
        """
        first, second, last = self.f
        x = F.relu(second(F.relu(first(x))))
        return torch.tanh(F.pixel_shuffle(last(x), self.scale))


PARAMETER = re.compile(r"(f|b|alpha)(\d+)")


def fsrcnn_name(stored: str) -> str:
    """From f1, b1, alpha1 of the file to f.0.weight, f.0.bias, alpha.0.weight; b8 is the bias after the shuffle."""
    return "bias" if stored == f"b{len(FSRCNN_LAYERS) + 1}" else espcn_name(stored)


def espcn_name(stored: str) -> str:
    """From f1 and b1 of the file to f.0.weight and f.0.bias; a name of another kind stays as it is."""
    found = PARAMETER.fullmatch(stored)
    if found is None:
        return stored
    kind, number = found.groups()
    index = int(number) - 1
    return {"f": f"f.{index}.weight", "b": f"f.{index}.bias", "alpha": f"alpha.{index}.weight"}[kind]
