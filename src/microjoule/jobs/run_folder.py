"""The one run folder: where long work is kept part by part, so that a run that was interrupted goes on where it was.

A folder belongs to one run: its file `run.json` says what the results depend on, and another run is refused with what
differs. Each finished part is a file with a checksum, written whole or not at all; a part that is damaged is done
again, with a warning that names it. While it is open, no other process works in it.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from microjoule.errors import FileError
from microjoule.jobs.identity import Identity, in_words
from microjoule.jobs.lock import FolderLock
from microjoule.jobs.part import DamagedError, Part, read_bytes, read_part, without_link, write_part
from microjoule.records.files import REMEDIES, write_atomically

RUN = "run.json"
"""The file that says whose folder it is."""

FORMAT = 2
"""Of the folder; 1 had no checksums."""

RUN_BYTES, TEXT_BYTES = 2**26, 2**24
"""Limits on what is read: of the file above, and of a part without tensors."""

ENDING = ".safetensors"
PIECE = re.compile(r"\.[0-9a-f]{16}\.part")
"""The names of files that were being written when their process was killed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The finished parts of a run; it can be sent to another process.

    Args:
        folder: where their files are.
        run: whose they are: the digest of its identity.
    """

    folder: Path
    run: str

    def path(self, name: str, ending: str = ENDING) -> Path:
        """A part's file: its name as far as a file can have it, and a hash, as two names may look the same then."""
        readable = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:80].lstrip(".")
        return self.folder / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}{ending}"

    def read(self, name: str, *, limit_bytes: int = TEXT_BYTES) -> Part | None:
        """A part that was finished, or None: if it was not, or is damaged, of which a warning tells.

        Raises:
            FileError: if its file cannot be read.
        """
        try:
            return read_part(self.path(name), run=self.run, name=name, limit_bytes=limit_bytes)
        except DamagedError as error:
            self.say_damaged(name, str(error))
            return None

    def write(self, name: str, part: Part) -> None:
        """Keep a finished part.

        Raises:
            FileError: if it cannot be written.
        """
        write_part(self.path(name), part, run=self.run, name=name)

    def say_damaged(self, name: str, reason: str) -> None:
        """Warn that a part is not taken."""
        warnings.warn(f"{self.path(name)}: is damaged ({reason}); {name} is done again", UserWarning, stacklevel=3)


class RunFolder:
    """A run's folder while it is worked in, as a context; without a path it keeps nothing.

    Args:
        path: of the folder, which is made if its parent is there; None for none.
        identity: what the results depend on; it is asked for if there is a path.

    Raises:
        FileError: on entering, if the folder is another run's, in use, of another version, or cannot be written to.
    """

    def __init__(self, path: str | Path | None, identity: Callable[[], Identity]) -> None:
        self.path = None if path is None else Path(path)
        self.identity = identity
        self.parts: Parts | None = None
        self._lock: FolderLock | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            _make(self.path)
            lock = FolderLock(self.path)
            lock.take()
            try:
                identity = self.identity()
                _claim(self.path, identity)
            except BaseException:
                lock.release()
                raise
            self._lock, self.parts = lock, Parts(self.path, identity.digest)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = self.parts = None

    def read(self, name: str, *, limit_bytes: int = TEXT_BYTES) -> Part | None:
        """A part that was finished; see `Parts.read`."""
        return None if self.parts is None else self.parts.read(name, limit_bytes=limit_bytes)

    def write(self, name: str, tensors: Mapping[str, Tensor] | None = None, text: str = "") -> None:
        """Keep a finished part, if there is a folder."""
        if self.parts is not None:
            self.parts.write(name, Part(tensors or {}, text))

    def say_damaged(self, name: str, reason: str) -> None:
        """Warn that a part is not taken, as what it holds cannot be."""
        if self.parts is not None:
            self.parts.say_damaged(name, reason)

    def inner(self, name: str) -> Path | None:
        """The folder of a run within this one, for a job that keeps parts of its own; None if there is no folder."""
        return None if self.parts is None else self.parts.path(name, "")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise FileError(str(folder), "is a file, not a folder", remedy="choose another path") from error
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose another folder")
        raise FileError(str(folder), f"cannot be made: {error.strerror}", remedy=remedy) from error


def _claim(folder: Path, identity: Identity) -> None:
    """Make a folder that of a run, unless another run has it; clear away what a killed process was writing."""
    path = folder / RUN
    if path.exists():
        differing = identity.differences(_facts(path))
        if differing:
            raise FileError(
                str(folder),
                f"holds the work of another run, which differs in {in_words(differing)}",
                remedy="name another folder, or delete this one",
            )
    else:
        content = {"format": FORMAT, "digest": identity.digest, "facts": dict(identity.facts)}
        write_atomically(without_link(path), json.dumps(content, indent=0))
    for left in folder.iterdir():
        if PIECE.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _facts(path: Path) -> dict[str, Any]:
    """What the run of a folder depends on.

    Raises:
        FileError: if its file is damaged, or of another version.
    """
    remedy = "name another folder, or delete this one"
    try:
        content = json.loads(read_bytes(path, RUN_BYTES))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except OSError as error:
        raise FileError(str(path), f"cannot be read: {error.strerror}", remedy=remedy) from error
    except (DamagedError, ValueError, RecursionError) as error:
        raise FileError(str(path), f"does not say whose folder this is ({error})", remedy=remedy) from error
    if content.get("format") != FORMAT:
        fact = f"was made by another version of microjoule: format {content.get('format', 1)!r}, where this is {FORMAT}"
        raise FileError(str(path.parent), fact, remedy=remedy)
    facts = content.get("facts")
    if not isinstance(facts, dict) or Identity(facts).digest != content.get("digest"):
        raise FileError(str(path), "is damaged (its checksum does not fit)", remedy=remedy)
    return facts
