"""Reading the files of a data set; whatever is wrong with them is said with the file's name."""

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from microjoule.errors import DataError, FileError
from microjoule.formats import arrays
from microjoule.formats.arrays import Array
from microjoule.zoo.weights import checked

REMEDY = "fetch the data set again"

ZIPS = ("images.zip", "coco.zip", "sr*.zip")
MOST_BYTES = 1 << 26
"""Of one file in a zip."""

DAMAGED = (KeyError, ValueError, RuntimeError, OSError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged, encrypted or unknown zip raises."""

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
        except DAMAGED as error:
            raise DataError(str(self.path), f"is not a zip file ({error})", remedy=REMEDY) from error

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(name).file_size > MOST_BYTES:
                    raise ValueError(f"it unpacks to {archive.getinfo(name).file_size:,} bytes")
                return archive.read(name)
        except DAMAGED as error:
            raise DataError(f"{self.path}/{name}", f"cannot be read ({error})", remedy=REMEDY) from error


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an npz file."""
    try:
        return arrays.read_arrays(checked(path), remedy=REMEDY)
    except FileError as error:
        if not error.fact.startswith("is damaged: "):
            raise
        fact = f"is not a sound npz file ({error.fact.removeprefix('is damaged: ')})"
        raise DataError(str(path), fact, remedy=error.remedy) from error


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
    except DAMAGED:
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
