"""Random changes of a batch of images that leave their classes as they are."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from microjoule.errors import SettingError

Augment = Callable[[Tensor, Generator], Tensor]
"""(inputs of several samples (n, ...), where chance comes from) -> inputs of the same shape."""


def flips_and_shifts(*, pixels: int = 4, flip: bool = True) -> Augment:
    """Crop each image at a random place after padding it with zeros, and mirror half of them.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385, section 4.2 (with 4 pixels, for CIFAR).

    Args:
        pixels: how far an image moves at most, in each direction.
        flip: whether to mirror left and right; digits and letters must not be.

    Returns:
        A function of images (n, channels, height, width).

    Raises:
        SettingError: for less than 0 pixels.
    """
    if pixels < 0:
        raise SettingError("pixels", f"is {pixels}", remedy="give 0 or more")

    def changed(images: Tensor, chance: Generator) -> Tensor:
        count, _, height, width = images.shape
        down, right = torch.randint(2 * pixels + 1, (2, count, 1), generator=chance)
        mirrored = torch.randint(2, (count, 1), generator=chance).bool() & flip
        columns = torch.where(mirrored, torch.arange(width - 1, -1, -1), torch.arange(width))
        padded = F.pad(images, (pixels, pixels, pixels, pixels))
        sample = torch.arange(count)[:, None, None]
        rows, columns = (torch.arange(height) + down)[:, :, None], (columns + right)[:, None, :]
        moved: Tensor = padded.transpose(0, 1)[:, sample, rows, columns].transpose(0, 1)
        return moved.contiguous()

    return changed


def turns_and_shifts(*, degrees: float = 10.0, pixels: float = 2.0, scale: float = 0.1) -> Augment:
    """Turn, move and scale each image a little, with bilinear interpolation and zeros around: for digits and letters.

    Args:
        degrees: how far an image turns at most, either way.
        pixels: how far it moves at most, in each direction.
        scale: by which share its size changes at most.

    Returns:
        A function of images (n, channels, height, width).

    Raises:
        SettingError: for a value below 0, or a scale of 1 or more.
    """
    if min(degrees, pixels, scale) < 0 or scale >= 1:
        fact = f"are {degrees:g} degrees, {pixels:g} pixels and scale {scale:g}"
        raise SettingError("changes", fact, remedy="give none below 0, and a scale below 1")

    def changed(images: Tensor, chance: Generator) -> Tensor:
        height, width = images.shape[2:]
        drawn = 2 * torch.rand(len(images), 4, generator=chance) - 1
        angle, size = math.radians(degrees) * drawn[:, 0], 1 + scale * drawn[:, 1]
        cos, sin = size * angle.cos(), size * angle.sin()
        across, down = 2 * pixels / width * drawn[:, 2], 2 * pixels / height * drawn[:, 3]
        # The grid's coordinates run from -1 to 1 along both sides, whatever these measure.
        rows = (cos, -sin * height / width, across, sin * width / height, cos, down)
        matrices = torch.stack(rows, 1).reshape(-1, 2, 3).to(images)
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)

    return changed
