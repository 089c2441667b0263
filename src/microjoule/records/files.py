"""Write a file whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from microjoule.errors import FileError

REMEDIES = {
    errno.ENOENT: "make the folder first, or choose another path",
    errno.ENOTDIR: "choose a path whose parent is a folder",
    errno.EACCES: "choose a folder that you may write to, or change its permissions",
    errno.EPERM: "choose a folder that you may write to, or change its permissions",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "free some of your quota, or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write beside the file and rename, so that a reader sees the old file or the new one, never half of one.

    A link is followed; text is written as UTF-8.

    Returns:
        The path that was given.

    Raises:
        FileError: for a missing folder, no permission, a full disk, a folder or device at the path.
    """
    given = Path(path)
    try:
        content = data.encode() if isinstance(data, str) else data
        goal = given.resolve()
        _refuse_what_is_no_file(given, goal)
        _write_and_rename(goal, content)
    except ValueError as error:
        raise FileError(
            str(given), f"cannot be written: {error}", remedy="choose a name and text that are valid"
        ) from error
    except OSError as error:
        raise _in_words(given, error) from error
    return given


def check_places(paths: Iterable[str | os.PathLike[str] | None]) -> None:
    """See, before long work begins, whether there are folders for what will be written.

    Args:
        paths: of files; those that are None are left out.

    Raises:
        FileError: for a missing folder, or a folder or device at a path.
    """
    for given in (Path(path) for path in paths if path is not None):
        try:
            goal = given.resolve()
            _refuse_what_is_no_file(given, goal)
            if not goal.parent.is_dir():
                missing = errno.ENOTDIR if goal.parent.exists() else errno.ENOENT
                raise OSError(missing, os.strerror(missing))
        except OSError as error:
            raise _in_words(given, error) from error


def _refuse_what_is_no_file(given: Path, goal: Path) -> None:
    if goal.is_dir():
        raise FileError(str(given), "is a folder", remedy="add a file name to the path")
    if goal.exists() and not goal.is_file():
        raise FileError(str(given), "is a device or a pipe, not a file", remedy="choose the path of a file")


def _write_and_rename(goal: Path, content: bytes) -> None:
    temporary = goal.with_name(f".{secrets.token_hex(8)}.part")
    # os.open and not tempfile: the file gets the permissions that the user's umask asks for, not 0600.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(goal)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(goal.parent)


def _sync_folder(folder: Path) -> None:
    """Let the new name outlive a loss of power; not every system can do that, and without it the old file is left."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _in_words(path: Path, error: OSError) -> FileError:
    reason = (error.strerror or str(error)).lower()
    remedy = REMEDIES.get(error.errno or 0, "choose another path")
    return FileError(str(path), f"cannot be written: {reason}", remedy=remedy)
