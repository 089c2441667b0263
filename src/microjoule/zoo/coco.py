"""The layout of `coco.zip`: images, boxes and masks of the COCO data set under one number each.

`images/N.jpg`, `labels/N.txt` (lines of class, centre x, centre y, width, height, as shares of the image; classes 0
to 79) and `masks/N.png` (COCO category numbers, 255 = ignore), the last not for every image.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from microjoule.errors import DataError, SettingError
from microjoule.execution.average_precision import Boxes
from microjoule.formats.images import decode_image
from microjoule.zoo.cards import Card
from microjoule.zoo.folders import Archive
from microjoule.zoo.image_sets import pixels

IGNORE = 255
PERSON = 0
SMALLEST_PERSON = 0.005
"""Share of the image that a person covers at least, as in Chowdhery et al. 2019, Visual Wake Words Dataset,
https://arxiv.org/abs/1906.05721, section 3."""

GREY = (127, 127, 127)
"""Where the image does not reach: the middle of the range, about 0 after normalisation."""

VOC_OF_COCO = {
    1: 15, 2: 2, 3: 7, 4: 14, 5: 1, 6: 6, 7: 19, 9: 4, 16: 3, 17: 8,
    18: 12, 19: 13, 20: 17, 21: 10, 44: 5, 62: 9, 63: 18, 64: 16, 67: 11, 72: 20,
}  # fmt: skip
"""COCO category -> class of PASCAL VOC: person, bicycle, car, motorcycle, airplane, bus, train, boat, bird, cat;
dog, horse, sheep, cow, bottle, chair, couch, potted plant, dining table, tv. All others are background."""


def _numbers(archive: Archive, kind: str, limit: int | None) -> list[str]:
    """The images that have a file of this kind."""
    paths = [PurePosixPath(name) for name in archive.names()]
    images = {path.stem for path in paths if path.parts[0] == "images"}
    found = [path.stem for path in paths if path.parts[0] == kind and path.stem in images][:limit]
    if not found:
        raise DataError(str(archive.path), f"holds no images with {kind}", remedy="fetch the data set again")
    return found


def fitted(image: Image.Image, height: int, width: int, *, mask: bool) -> Image.Image:
    """The image as large as it fits into the frame, at the top left; beyond it grey, or for masks: ignored."""
    scale = min(height / image.height, width / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    frame = Image.new("L", (width, height), IGNORE) if mask else Image.new("RGB", (width, height), GREY)
    frame.paste(image.resize(size, Image.Resampling.NEAREST if mask else Image.Resampling.BILINEAR))
    return frame


def voc_classes(mask: Tensor) -> Tensor:
    """Classes of PASCAL VOC from COCO categories.

    Args:
        mask: (height, width), uint8, 255 = ignore.

    Returns:
        (height, width), int64, 0 for the background, 255 = ignore.
    """
    table = torch.zeros(256, dtype=torch.int64)
    table[IGNORE] = IGNORE
    for category, class_ in VOC_OF_COCO.items():
        table[category] = class_
    return table[mask.long()]


class Masks(Dataset[tuple[Tensor, Tensor]]):
    """Images with the class of each pixel, both in a frame of the size of the model's input."""

    def __init__(self, folder: Path, entry: Card, limit: int | None) -> None:
        self.name = f"{folder.name}/masks"
        self._archive = Archive(folder / "coco.zip")
        self._numbers = _numbers(self._archive, "masks", limit)
        self._entry = entry
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """An input (3, height, width) and its classes (height, width)."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index not in self._stored:
            self._stored[index] = self._read(self._numbers[index])
        image, mask = self._stored[index]
        return self._entry.prepare(image), voc_classes(mask)

    def _read(self, number: str) -> tuple[Tensor, Tensor]:
        _, height, width = self._entry.input_shape
        image = _decoded(self._archive, f"images/{number}.jpg", "RGB")
        mask = _decoded(self._archive, f"masks/{number}.png", "")
        if mask.mode not in ("L", "P") or mask.size != image.size:
            fact = f"is a {mask.mode} image of {mask.size}, the picture has {image.size}"
            raise DataError(f"{self._archive.path}/masks/{number}.png", fact, remedy="fetch the data set again")
        categories = Image.fromarray(np.array(mask))
        return pixels(fitted(image, height, width, mask=False)), pixels(fitted(categories, height, width, mask=True))[0]


class ObjectBoxes(Dataset[tuple[Tensor, Boxes]]):
    """Images, stretched to the size of the model's input, with the boxes in them in pixels of that size."""

    def __init__(self, folder: Path, entry: Card, limit: int | None) -> None:
        self.name = f"{folder.name}/boxes"
        self._archive = Archive(folder / "coco.zip")
        self._numbers = _numbers(self._archive, "labels", limit)
        self._entry = entry

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, Boxes]:
        """An input (3, height, width) and its boxes."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self._numbers[index]
        _, height, width = self._entry.input_shape
        image = _decoded(self._archive, f"images/{number}.jpg", "RGB")
        stretched = image.resize((width, height), Image.Resampling.BILINEAR)
        text = self._archive.read(f"labels/{number}.txt").decode("utf-8", errors="replace")
        boxes = boxes_of(text, f"{self._archive.path}/labels/{number}.txt", height=height, width=width)
        return self._entry.prepare(pixels(stretched)), boxes

    @staticmethod
    def collate(samples: list[tuple[Tensor, Boxes]]) -> tuple[Tensor, list[Boxes]]:
        """Stack the inputs; the boxes stay a list, for each image has a number of its own."""
        inputs, boxes = zip(*samples, strict=True)
        return torch.stack(inputs), list(boxes)


class Persons(Dataset[tuple[Tensor, Tensor]]):
    """Images, stretched to the size of the model's input, and whether there is a person in them (1) or not (0)."""

    def __init__(self, folder: Path, entry: Card, limit: int | None) -> None:
        self.name = f"{folder.name}/person"
        self._images = ObjectBoxes(folder, entry, limit)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """An input (3, height, width) and 0 or 1 as a tensor of shape ()."""
        image, (corners, classes) = self._images[index]
        sides = corners[:, 2:] - corners[:, :2]
        shares = sides.prod(1) / (image.shape[1] * image.shape[2])
        return image, ((classes == PERSON) & (shares > SMALLEST_PERSON)).any().long()


def of_part(folder: Path, part: str | None, entry: Card, limit: int | None) -> Masks | ObjectBoxes | Persons:
    """The part "masks" (also if none is named), "boxes" or "person" of the data set."""
    if part in (None, "masks"):
        return Masks(folder, entry, limit)
    if part == "boxes":
        return ObjectBoxes(folder, entry, limit)
    if part == "person":
        return Persons(folder, entry, limit)
    raise SettingError(f"{folder.name}/{part}", "is not a part", remedy="choose masks, boxes or person")


def boxes_of(text: str, place: str, *, height: int, width: int) -> Boxes:
    """Boxes from lines of class, centre x, centre y, width, height, as shares of the image."""
    try:
        rows = torch.tensor([[float(value) for value in line.split()] for line in text.splitlines()]).reshape(-1, 5)
    except (ValueError, RuntimeError) as error:
        raise DataError(place, f"needs five numbers a line ({error})", remedy="mend the file") from error
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    corners = torch.cat([centre - half, centre + half], 1) * torch.tensor([width, height, width, height])
    return Boxes(corners, rows[:, 0].long())


def _decoded(archive: Archive, name: str, mode: str) -> Image.Image:
    return decode_image(archive.read(name), f"{archive.path}/{name}", mode)
