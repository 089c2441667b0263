"""Reading a file from anywhere: it is an ordinary file, it has no more bytes than it may, and errors are in words."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from microjoule.errors import FileError

LARGEST_TEXT_BYTES = 1 << 28
"""Of a file of JSON, TOML or the like; what people write has some MB at most."""


@contextmanager
def open_file(path: str | os.PathLike[str], *, remedy: str = "check the path") -> Iterator[tuple[BufferedReader, int]]:
    """An ordinary file, open for reading, and its size.

    A pipe or a device would be read without end, so it is refused before it is opened.

    Raises:
        FileError: if there is none, it cannot be read, or it is a folder, a pipe or a device.
    """
    place = os.fspath(path)
    try:
        _require_ordinary(place, Path(place).stat().st_mode, remedy)
        file = Path(place).open("rb")  # noqa: SIM115  closed below
    except (OSError, ValueError) as error:
        raise _in_words(place, error, remedy) from error
    with file:
        state = os.fstat(file.fileno())
        _require_ordinary(place, state.st_mode, remedy)
        yield file, state.st_size


def read_file(path: str | os.PathLike[str], *, most_bytes: int | None = None, remedy: str = "check the path") -> bytes:
    """All bytes of an ordinary file.

    Args:
        path: of the file.
        most_bytes: what it may have; None for any size.
        remedy: what to do if it cannot be read.

    Raises:
        FileError: as `open_file`, or if it is larger.
    """
    with open_file(path, remedy=remedy) as (file, size):
        if most_bytes is not None and size > most_bytes:
            fact = f"has {size:,} bytes, and {most_bytes:,} are the most that are read"
            raise FileError(str(path), fact, remedy="give another file")
        try:
            return file.read(size)
        except OSError as error:
            raise _in_words(os.fspath(path), error, remedy) from error


def read_text(path: str | os.PathLike[str], *, most_bytes: int = LARGEST_TEXT_BYTES, remedy: str) -> str:
    """A file of UTF-8 text.

    Args:
        path: of the file.
        most_bytes: what it may have.
        remedy: what to do if it is something else.

    Raises:
        FileError: as `read_file`, or if it is no text.
    """
    content = read_file(path, most_bytes=most_bytes)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(
            str(path), f"is no text in UTF-8 ({error.reason} at byte {error.start})", remedy=remedy
        ) from error


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything at a path, whatever text it is."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that is too long, a circle of links, half a character
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder at a path, whatever text it is."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _require_ordinary(place: str, mode: int, remedy: str) -> None:
    if stat.S_ISDIR(mode):
        raise FileError(place, "is a folder", remedy="give the path of a file")
    if not stat.S_ISREG(mode):
        raise FileError(place, "is a device or a pipe, not a file", remedy=remedy)


def _in_words(place: str, error: Exception, remedy: str) -> FileError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return FileError(place, f"cannot be read: {reason.lower()}", remedy=remedy)
