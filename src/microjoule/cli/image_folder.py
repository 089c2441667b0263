"""A folder of images: one subfolder a class, or the images themselves if there are no labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from microjoule.cli.classes import numbers_of
from microjoule.errors import DataError, FileError
from microjoule.formats.bounded_file import read_file
from microjoule.formats.images import MOST_PIXELS, decode_image
from microjoule.graph.preprocessing import Preprocessing
from microjoule.zoo.image_sets import LabelledImages, centre, pixels

MOST_BYTES = 1 << 28
"""Of one image's file."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies in a folder of images.

    Args:
        files: the images.
        labels: the number of each one's class; None if there are no subfolders.
        names: of the subfolders, by the number of their class.
        listed: whether a class list told these numbers.
    """

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    names: dict[int, str]
    listed: bool


def found_in(folder: Path, labels: Sequence[str] = ()) -> Folder:
    """What lies in a folder of images.

    Subfolders are the classes that the labels say; without labels they are classes 0, 1, ... in the order of their
    names, or if all names are whole numbers, these numbers.

    Args:
        folder: with a subfolder a class, or with images.
        labels: of the network, in the order of its outputs.

    Raises:
        DataError: if there is no image, or some subfolders are no class.
    """
    subfolders = sorted(path.name for path in _listed(folder) if path.is_dir() and not path.name.startswith("."))
    names = [name for name in subfolders if _images(folder / name)]
    if not names:
        files = _images(folder)
        if not files:
            kinds = ", ".join(sorted(SUFFIXES))
            remedy = f"put images in a subfolder for each class ({kinds})"
            raise DataError(str(folder), "holds no image", remedy=remedy)
        return Folder(tuple(files), None, {}, listed=False)
    by_label = numbers_of(names, labels, str(folder)) if labels else None
    numbers = by_label or _numbered(subfolders, names)
    pairs = [(path, numbers[name]) for name in names for path in _images(folder / name)]
    known = {number: name for name, number in numbers.items()}
    return Folder(tuple(path for path, _ in pairs), tuple(n for _, n in pairs), known, listed=by_label is not None)


def image_folder(folder: Path, found: Folder, how: Preprocessing, size: tuple[int, int]) -> "Images":
    """The images of a folder, as inputs; with labels where they lie in subfolders.

    Args:
        folder: where they are.
        found: what lies there.
        how: they are prepared.
        size: height and width of an input.
    """
    mode = "L" if len(how.mean) == 1 else "RGB"

    def read(index: int) -> Tensor:
        path = found.files[index]
        content = read_file(path, most_bytes=MOST_BYTES, remedy="check its permissions")
        return pixels(_cut(decode_image(content, str(path), mode, upright=True), how, size, path))

    labels = found.labels if found.labels is not None else [0] * len(found.files)
    images = LabelledImages(folder.name, read, labels, how)
    return Images(images, labelled=found.labels is not None)


class Images:
    """A map-style data set of images, with the number of their class or without.

    Args:
        images: with labels.
        labelled: whether these mean anything.
    """

    def __init__(self, images: LabelledImages, *, labelled: bool) -> None:
        self.name = images.name
        self.labels = images.labels if labelled else None
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Any:
        """An input, and its class where there is one."""
        image, label = self._images[index]
        return image if self.labels is None else (image, label)


def _numbered(subfolders: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The number of each class folder, by name; empty ones count, too."""
    if all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(subfolders) if name in names}


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in _listed(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(str(folder), f"cannot be read: {reason}", remedy="check its permissions") from error


def _cut(image: Image.Image, how: Preprocessing, size: tuple[int, int], path: Path) -> Image.Image:
    """The middle of an image whose shorter side was brought to a size, or which was resized until it just covers."""
    height, width = size
    scale = max(height / image.height, width / image.width)
    if how.resize is not None:
        scale = how.resize / min(image.height, image.width)
    resized = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if how.resize is None:
        resized = max(width, resized[0]), max(height, resized[1])
    if resized[0] * resized[1] > MOST_PIXELS:
        fact = f"would have to have {resized[0]:,} x {resized[1]:,} pixels to cover {height} x {width}"
        raise DataError(str(path), fact, remedy="cut it to the size of the network's inputs, or leave it out")
    return centre(image.resize(resized, Image.Resampling[how.interpolation.upper()]), height, width)
