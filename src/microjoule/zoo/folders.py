"""Reading the files of a data set; whatever is wrong with them is said with the file's name."""

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from microjoule.errors import DataError, FileError
from microjoule.zoo.weights import checked

Array = NDArray[np.generic]

REMEDY = "fetch the data set again"

ZIPS = ("images.zip", "coco.zip", "sr*.zip")
PIXELS, JPEGS = {"x", "y"}, {"jpeg", "offset", "label"}
"""The arrays of an npz file of stored values, and of one of JPEGs."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file, opened for each read so that it can be sent to worker processes."""

    path: Path

    def names(self) -> list[str]:
        """The files in it, in order of name."""
        checked(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                return sorted(name for name in archive.namelist() if not name.endswith("/"))
        except zipfile.BadZipFile as error:
            raise DataError(str(self.path), f"is not a zip file ({error})", remedy=REMEDY) from error

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (KeyError, zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{self.path}/{name}", f"cannot be read ({error})", remedy=REMEDY) from error


def decoded(encoded: bytes, place: str, mode: str = "RGB") -> Image.Image:
    """An image from its bytes.

    Args:
        encoded: a JPEG or PNG file.
        place: what to call it if it is damaged.
        mode: "RGB" or "L", to which it is converted; "" to leave the stored values as they are.
    """
    try:
        image = Image.open(io.BytesIO(encoded))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(place, f"is not a sound image ({error})", remedy="fetch it again, or leave it out") from error
    return image.convert(mode) if mode else image


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an npz file."""
    try:
        with np.load(checked(path), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(str(path), f"is not a sound npz file ({error})", remedy=REMEDY) from error


def set_folder(root: Path, name: str, others: Iterable[str] = ()) -> tuple[Path, str | None]:
    """The folder of a data set, and which part of it is asked for: "mnist/train" is the part "train" of "mnist".

    Args:
        root: the data folder.
        name: of a set.
        others: the sets that need no folder, for the message.

    Raises:
        FileError: there is no such folder; the message names those that can be read.
    """
    if (root / name).is_dir():
        return root / name, None
    folder, _, part = name.rpartition("/")
    if folder and (root / folder).is_dir():
        return root / folder, part
    there = ", ".join([*others, *sorted(p.name for p in root.iterdir() if p.is_dir() and is_readable(p))])
    raise FileError(str(root / name), "there is no such data set", remedy=f"choose one of {there}")


def is_readable(folder: Path) -> bool:
    """Whether a folder has one of the layouts that `dataset` reads, as far as the names in it tell."""
    return any(any(folder.glob(name)) for name in ZIPS) or any(
        layout <= _array_names(file) for file in folder.glob("*.npz") for layout in (PIXELS, JPEGS)
    )


def _array_names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def part_of(folder: Path, part: str | None) -> Path:
    """The npz file of a part: the one whose name begins so; if None the test set, or the only file."""
    files = sorted(folder.glob("*.npz"))
    if part is None and len(files) == 1:
        return files[0]
    wanted = [file for file in files if file.stem.startswith(part or "test")]
    if len(wanted) != 1:
        there = ", ".join(file.stem for file in files) or "none"
        raise FileError(
            str(folder), f"has no single part {part or 'test'!r}", remedy=f"choose one of its parts: {there}"
        )
    return wanted[0]
