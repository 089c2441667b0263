"""The layout of a zip of image pairs: `Set5/x2/NAME_HR.png` and `Set5/x2/NAME_LR.png`, of which the luma is used."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from microjoule.errors import DataError
from microjoule.formats.images import decode_image
from microjoule.zoo.folders import Archive


class SuperResolution(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of a small luma (1, height, width) and the large one (1, scale * height, scale * width), 0 to 1."""

    def __init__(self, folder: Path, part: str, limit: int | None) -> None:
        self.name = f"{folder.name}/{part}"
        self._archive = Archive(min(folder.glob("sr*.zip")))
        names = self._archive.names()
        self._large = [name for name in names if name.startswith(f"{part}/") and name.endswith("_HR.png")][:limit]
        if not self._large:
            parts = ", ".join(sorted({name.split("/")[0] for name in names}))
            raise DataError(self.name, "holds no pairs", remedy=f"choose one of {parts}")

    def __len__(self) -> int:
        return len(self._large)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The small and the large luma of one pair."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        name = self._large[index]
        large, small = self._luma(name), self._luma(name.replace("_HR", "_LR"))
        scale = large.shape[1] // small.shape[1]
        height, width = scale * small.shape[1], scale * small.shape[2]
        if large.shape[1] < height or large.shape[2] < width or not scale:
            fact = f"is {tuple(large.shape)}, its small one {tuple(small.shape)}"
            raise DataError(f"{self._archive.path}/{name}", fact, remedy="fetch the data set again")
        return small, large[:, :height, :width]

    @staticmethod
    def collate(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Stack pairs, which must be of one size."""
        sizes = {tuple(small.shape) for small, _ in samples}
        if len(sizes) > 1:
            raise DataError("images", f"of sizes {sorted(sizes)} cannot be one batch", remedy="use a batch size of 1")
        small, large = zip(*samples, strict=True)
        return torch.stack(small), torch.stack(large)

    def _luma(self, name: str) -> Tensor:
        return luma(decode_image(self._archive.read(name), f"{self._archive.path}/{name}"))


def luma(image: Image.Image) -> Tensor:
    """Y of ITU-R BT.601, 16/255 to 235/255, as in the papers' measurements.

    Returns:
        (1, height, width).
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)
    rgb = torch.from_numpy(np.array(image)).double() / 255
    return ((rgb @ weights + 16) / 255).float()[None]
