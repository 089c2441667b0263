"""How a stored image becomes an input of a network: resize, cut, scale, (x - mean) / std."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from microjoule.errors import SettingError

COLOURS = ("RGB", "BGR", "L")
LAYOUTS = ("NCHW", "NHWC")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
LARGEST_SIZE = 2**14
"""Of an image's side."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From an image to an input: (stored / peak - mean) / std for each channel.

    Args:
        mean: one a channel, of pixels of 0 to 1.
        std: likewise.
        peak: the largest stored value.
        size: height and width of the input; None for those that the network takes.
        resize: to what the shorter side is brought before the middle is cut out; None resizes until the size is just
            covered.
        interpolation: of resizing: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming".
        colours: the order of the channels: "RGB", "BGR" or "L" (grey).
        layout: "NCHW", or "NHWC" with the channels last.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    peak: float = 255.0
    size: tuple[int, int] | None = None
    resize: int | None = None
    interpolation: str = "bilinear"
    colours: str = "RGB"
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        """See that it is one."""
        numbers = (*self.mean, *self.std, self.peak)
        if not self.mean or len(self.mean) != len(self.std) or not all(map(math.isfinite, numbers)):
            remedy = "give a finite mean and deviation for each channel"
            raise SettingError("preprocessing", f"has mean {self.mean} and std {self.std}", remedy=remedy)
        if min(*self.std, self.peak) <= 0:
            fact = f"has std {self.std} and peak {self.peak:g}"
            raise SettingError("preprocessing", fact, remedy="divide by numbers above 0")
        sides = [*(self.size or ()), *([] if self.resize is None else [self.resize])]
        if any(not 1 <= side <= LARGEST_SIZE for side in sides):
            fact = f"has size {self.size} and resize {self.resize}"
            raise SettingError("preprocessing", fact, remedy=f"use 1 to {LARGEST_SIZE} pixels")
        for name, known in (("colours", COLOURS), ("layout", LAYOUTS), ("interpolation", INTERPOLATIONS)):
            if getattr(self, name) not in known:
                fact = f"has {name} {getattr(self, name)!r}"
                raise SettingError("preprocessing", fact, remedy=f"use one of {', '.join(known)}")

    def __call__(self, stored: Tensor) -> Tensor:
        """An image's pixels as the network takes them.

        Args:
            stored: (channels, height, width), values of 0 to `peak`, red first.

        Returns:
            (channels, height, width), or (height, width, channels) if that is the layout; float32.
        """
        pixels = stored.flip(0) if self.colours == "BGR" else stored
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        inputs = (pixels.float() / self.peak - mean) / std
        return inputs.permute(1, 2, 0) if self.layout == "NHWC" else inputs

    @property
    def value_range(self) -> tuple[float, float]:
        """The smallest and the largest value that any channel can hold."""
        channels = list(zip(self.mean, self.std, strict=True))
        return min((0 - mean) / std for mean, std in channels), max((1 - mean) / std for mean, std in channels)

    def for_channels(self, channels: int) -> "Preprocessing":
        """The same for another number of channels, where it is the same for each.

        Raises:
            SettingError: if it is not.
        """
        if channels == len(self.mean):
            return self
        if len(set(zip(self.mean, self.std, strict=True))) > 1:
            fact = f"has {len(self.mean)} means, and the network takes {channels} channels"
            raise SettingError("preprocessing", fact, remedy="give a mean and a deviation for each channel")
        colours = "L" if channels == 1 else "RGB" if self.colours == "L" else self.colours
        return Preprocessing(
            self.mean[:1] * channels,
            self.std[:1] * channels,
            self.peak,
            self.size,
            self.resize,
            self.interpolation,
            colours,
            self.layout,
        )


def preprocessing_of(content: Mapping[str, Any]) -> Preprocessing:
    """Read what `dataclasses.asdict` made of one, through JSON.

    Raises:
        ValueError: if it is something else.
        TypeError: likewise.
    """
    known = {field.name for field in fields(Preprocessing)}
    if not content.keys() <= known:
        raise ValueError(f"preprocessing has fields {sorted(content)}")
    given = dict(content)
    for name in ("mean", "std"):
        given[name] = tuple(_number(value) for value in given[name])
    given["peak"] = _number(given.get("peak", 255.0))
    if given.get("size") is not None:
        height, width = given["size"]
        given["size"] = (_whole(height), _whole(width))
    if given.get("resize") is not None:
        given["resize"] = _whole(given["resize"])
    return Preprocessing(**given)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value
