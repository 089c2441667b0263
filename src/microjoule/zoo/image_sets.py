"""Labelled images and features, decoded when first asked for and kept in memory as they are stored."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from microjoule.errors import DataError, SettingError
from microjoule.formats.arrays import Array
from microjoule.formats.images import decode_image
from microjoule.zoo.cards import Card
from microjoule.zoo.folders import JPEGS, PIXELS, Archive, read_arrays
from microjoule.zoo.preprocessing import GREY, keyword_features
from microjoule.zoo.weights import checked

Transform = Callable[[Tensor], Tensor]
"""stored values (channels, height, width) -> an input of the network."""


KEPT_BYTES = 2**29
"""Of decoded images that a set keeps: 512 MiB, some three thousand of 224 x 224; others are decoded again."""


class LabelledImages(Dataset[tuple[Tensor, Tensor]]):
    """Inputs with the number of their class.

    Args:
        name: for records.
        read: index -> (channels, height, width), as stored.
        labels: one a sample.
        transform: from stored values to inputs.
    """

    def __init__(self, name: str, read: Callable[[int], Tensor], labels: Sequence[int], transform: Transform) -> None:
        if not labels:
            raise DataError(name, "holds no samples", remedy="give a folder that holds some")
        self.name = name
        self.labels = list(labels)
        self._read = read
        self._transform = transform
        self._stored: dict[int, Tensor] = {}
        self._stored_bytes = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One input, and its class as a tensor of shape ()."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        stored = self._stored.get(index)
        if stored is None:
            stored = self._read(index)
            if self._stored_bytes + stored.nbytes <= KEPT_BYTES:
                self._stored[index] = stored
                self._stored_bytes += stored.nbytes
        return self._transform(stored), torch.tensor(self.labels[index])


def pixels(image: Image.Image) -> Tensor:
    """(channels, height, width), uint8, of an RGB or grey image."""
    array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def centre(image: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of an image; an image that is too small is first enlarged just enough."""
    scale = max(height / image.height, width / image.width)
    if scale > 1:
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def model_needed(place: str) -> SettingError:
    """The error for colour images without a model: there is no preprocessing that is right for all."""
    remedy = "name the model that wants them: model=..., or zoo:SET@MODEL on the command line"
    return SettingError(place, "holds colour images, which each model wants in its own way", remedy=remedy)


def from_zip(folder: Path, entry: Card, limit: int | None) -> LabelledImages:
    """A folder of `images.zip` and `labels.csv` (columns file and label), cropped to the size of the model's input."""
    archive = Archive(folder / "images.zip")
    there = set(archive.names())
    rows = _rows(checked(folder / "labels.csv"))[:limit]
    for file, _ in rows:
        if file not in there:
            raise DataError(f"{archive.path}/{file}", "is in labels.csv but not in the zip", remedy="fetch both again")
    _, height, width = entry.input_shape

    def read(index: int) -> Tensor:
        file = rows[index][0]
        return pixels(centre(decode_image(archive.read(file), f"{archive.path}/{file}"), height, width))

    return LabelledImages(folder.name, read, [label for _, label in rows], entry.prepare)


def _rows(path: Path) -> list[tuple[str, int]]:
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [(row["file"], int(row["label"])) for row in table]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(str(path), f"needs the columns file and label ({error!r})", remedy="mend the table") from error


def from_npz(path: Path, entry: Card | None, limit: int | None) -> LabelledImages:
    """An npz file: `x` and `y`, or JPEGs one after the other in `jpeg` that begin at `offset`, with `label`."""
    arrays = read_arrays(path)
    name = f"{path.parent.name}/{path.stem}"
    if arrays.keys() >= JPEGS:
        if entry is None:
            raise model_needed(name)
        labels = _labels(arrays["label"], len(arrays["offset"]) - 1, path)
        return LabelledImages(name, _jpegs(arrays, path, entry), labels[:limit], entry.prepare)
    if arrays.keys() >= PIXELS and arrays["x"].ndim == 3:
        values = torch.from_numpy(arrays["x"])[:, None]
        if entry is not None:
            _check_shape(values, entry, path)
        prepare = entry.prepare if entry else GREY if values.dtype == torch.uint8 else keyword_features
        return LabelledImages(name, values.__getitem__, _labels(arrays["y"], len(values), path)[:limit], prepare)
    shapes = {key: array.shape for key, array in arrays.items()}
    remedy = "give x (n, height, width) and y (n,), or jpeg, offset and label"
    raise DataError(str(path), f"holds {shapes}", remedy=remedy)


def _check_shape(stored: Tensor, entry: Card, place: Path | str) -> Tensor:
    shape = tuple(stored.shape[-3:])
    if shape != entry.input_shape:
        fact = f"has samples of shape {shape}, {entry.name} takes {entry.input_shape}"
        raise DataError(str(place), fact, remedy="choose the model that fits the data")
    return stored


def _labels(stored: Array, expected: int, path: Path) -> list[int]:
    if stored.shape != (expected,) or stored.dtype.kind not in "iu":
        fact = f"has {expected} samples and labels of shape {stored.shape} and type {stored.dtype}"
        raise DataError(str(path), fact, remedy="give a whole number for each sample")
    labels: list[int] = stored.tolist()
    return labels


def _jpegs(arrays: dict[str, Array], path: Path, entry: Card) -> Callable[[int], Tensor]:
    if arrays["offset"].dtype.kind not in "iu" or arrays["offset"].ndim != 1 or arrays["jpeg"].dtype.kind != "u":
        raise DataError(str(path), "has offsets or JPEGs that are none", remedy="give whole numbers, and bytes")
    offset: list[int] = arrays["offset"].tolist()
    mode = "RGB" if entry.input_shape[0] == 3 else "L"

    def read(index: int) -> Tensor:
        encoded = arrays["jpeg"][offset[index] : offset[index + 1]].tobytes()
        place = f"{path}, image {index}"
        return _check_shape(pixels(decode_image(encoded, place, mode)), entry, place)

    return read
