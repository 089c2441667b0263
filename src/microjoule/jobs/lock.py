"""A folder that one process at a time works in.

The lock is the system's, on an open file, so that it ends with its process, however that ends. Beside it lies a note
that says who has it.
"""

import json
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from microjoule.errors import FileError
from microjoule.jobs.part import DamagedError, read_bytes, without_link
from microjoule.records.files import REMEDIES, write_atomically

LOCK, OWNER = ".lock", ".owner.json"
"""The names of the two files."""

NOTE_BYTES = 4096
"""A note of more bytes is not read."""

PATIENCE_S = 10.0
"""For how long a lock is waited for whose process is gone: its own processes may end a little later."""


class FolderLock:
    """The lock of a folder.

    Args:
        folder: it is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK)

    def take(self) -> None:
        """Take it.

        Raises:
            FileError: if another process has it, or the folder cannot be written to.
        """
        until = time.monotonic() + PATIENCE_S
        while not self._taken():
            owner = self._owner()
            if not _is_gone(owner) or time.monotonic() > until:
                fact = f"is in use by {_told(owner)}"
                raise FileError(str(self.folder), fact, remedy="wait until that is done, or name another folder")
            time.sleep(0.05)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
        try:
            write_atomically(without_link(self.folder / OWNER), json.dumps(note))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def _taken(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            fact, remedy = (
                f"cannot be written to: {error.strerror or error}",
                REMEDIES.get(error.errno or 0, "choose another"),
            )
            raise FileError(str(self.folder), fact, remedy=remedy) from error
        return True

    def _owner(self) -> dict[str, object]:
        """What the note says; empty if it says nothing."""
        with suppress(DamagedError, OSError, ValueError, RecursionError):
            note = json.loads(read_bytes(self.folder / OWNER, NOTE_BYTES))
            if isinstance(note, dict):
                return note
        return {}


def _is_gone(owner: dict[str, object]) -> bool:
    """Whether the owner is known to be a process of this machine that has ended."""
    pid = owner.get("pid")
    if os.name != "posix" or owner.get("host") != socket.gethostname():
        return False
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _told(owner: dict[str, object]) -> str:
    if not owner:
        return "another process"
    if owner.get("pid") == os.getpid() and owner.get("host") == socket.gethostname():
        return f"this process ({os.getpid()})"
    return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
