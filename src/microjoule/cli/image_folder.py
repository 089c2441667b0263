"""A folder of images: one subfolder a class, or the images themselves if there are no labels."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from microjoule.errors import DataError, FileError
from microjoule.execution.batches import Batches, batches
from microjoule.formats.bounded_file import read_file
from microjoule.formats.images import MOST_PIXELS, decode_image
from microjoule.zoo.image_sets import LabelledImages, centre, pixels

MOST_BYTES = 1 << 28
"""Of one image's file."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def image_folder(
    folder: Path, channels: int, size: tuple[int, int], prepare: Callable[[Tensor], Tensor], batch_size: int
) -> Batches:
    """Images as batches of inputs, with labels where they lie in subfolders.

    Subfolders are classes 0, 1, ... in the order of their names; if all names are whole numbers, these are the labels.
    An image is resized until it just covers the size, and its middle is cut out.

    Raises:
        DataError: if there is no image, or a file is none.
        FileError: if a file cannot be read.
    """
    classes = _labels(folder)
    files = [(path, label) for name, label in classes.items() for path in _images(folder / name)]
    if not files:
        files = [(path, -1) for path in _images(folder)]
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(str(folder), "holds no image", remedy=f"put images in a subfolder for each class ({kinds})")
    mode = "RGB" if channels == 3 else "L"

    def read(index: int) -> Tensor:
        path, _ = files[index]
        content = read_file(path, most_bytes=MOST_BYTES, remedy="check its permissions")
        return pixels(_covering(decode_image(content, str(path), mode, upright=True), size, path))

    images = LabelledImages(folder.name, read, [label for _, label in files], prepare)
    if files[0][1] >= 0:
        return batches(images, batch_size=batch_size)

    def start() -> Iterator[Tensor]:
        for begin in range(0, len(files), batch_size):
            yield torch.stack([images[index][0] for index in range(begin, min(begin + batch_size, len(files)))])

    return Batches(start, folder.name, len(files), labelled=False)


def _labels(folder: Path) -> dict[str, int]:
    """Class folders with images in them, and the label of each."""
    names = sorted(path.name for path in _listed(folder) if path.is_dir() and not path.name.startswith("."))
    if names and all(name.isdecimal() for name in names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: label for label, name in enumerate(names)}


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in _listed(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(str(folder), f"cannot be read: {reason}", remedy="check its permissions") from error


def _covering(image: Image.Image, size: tuple[int, int], path: Path) -> Image.Image:
    """The middle of an image that was resized until its shorter side, seen by the size wanted, just fits."""
    height, width = size
    scale = max(height / image.height, width / image.width)
    covering = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    if covering[0] * covering[1] > MOST_PIXELS:
        fact = f"would have to have {covering[0]:,} x {covering[1]:,} pixels to cover {height} x {width}"
        raise DataError(str(path), fact, remedy="cut it to the size of the network's inputs, or leave it out")
    return centre(image.resize(covering, Image.Resampling.BILINEAR), height, width)
