"""From stored bytes to the tensor a network was trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(x - mean) / std for each channel, where x is a stored value of 0 to `peak` divided by `peak`.

    Args:
        mean: one a channel.
        std: one a channel.
        peak: the largest stored value.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    peak: int = 255

    def __call__(self, stored: Tensor) -> Tensor:
        """Normalise an image.

        Args:
            stored: (channels, height, width), values of 0 to `peak`.

        Returns:
            (channels, height, width), float32.
        """
        mean = torch.tensor(self.mean)[:, None, None]
        std = torch.tensor(self.std)[:, None, None]
        return (stored.float() / self.peak - mean) / std

    @property
    def value_range(self) -> tuple[float, float]:
        """The smallest and the largest value that any channel can hold."""
        low = min((0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))
        high = max((1 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))
        return low, high


TENSORFLOW = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""-1 to 1."""

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The mean and standard deviation of ImageNet's pixels."""

RAW = Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""0 to 255, as stored."""

UNIT = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""0 to 1."""

GREY = Normalisation((0.0,), (1.0,))
"""One channel, 0 to 1."""

DIGITS = Normalisation((0.0,), (1.0,), peak=16)
"""One channel of 17 levels, to 0 to 1."""

KEYWORD_SCALE = 0.58470291
KEYWORD_ZERO = 83
"""Scale and zero point of the int8 features of MLPerf Tiny's keyword spotting."""

KEYWORD_RANGE = ((-128 - KEYWORD_ZERO) * KEYWORD_SCALE, (127 - KEYWORD_ZERO) * KEYWORD_SCALE)
"""What int8 features can be."""


def keyword_features(stored: Tensor) -> Tensor:
    """Real values of int8 features.

    Args:
        stored: any shape, int8.

    Returns:
        The same shape, float32.
    """
    return (stored.float() - KEYWORD_ZERO) * KEYWORD_SCALE
