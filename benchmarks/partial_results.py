"""What a benchmark has measured so far, in a folder, so that one that is interrupted goes on where it was.

A folder belongs to one state of the code, of the libraries and of the data: what another state has measured is deleted.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import ROOT
from benchmarks.figure import Figure
from benchmarks.results import Timed
from microjoule.errors import FileError
from microjoule.records.facts import Record
from microjoule.records.files import write_atomically
from microjoule.records.json_io import records_from_json, to_json
from microjoule.records.machine import this_machine
from microjoule.records.measured import Evaluated

CODE = ("src", "benchmarks")
"""Folders whose files decide what is measured."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Results of one benchmark.

    Args:
        folder: where they are; it is made when the first is kept. None keeps nothing.
    """

    folder: Path | None = None

    def evaluated(self, name: str, make: Callable[[], Evaluated]) -> Evaluated:
        """An evaluation that was kept under a name, or is made now.

        Args:
            name: unique in the benchmark.
            make: what takes long.
        """
        (record,) = self.records(name, lambda: [make()])
        assert isinstance(record, Evaluated)
        return record

    def records(self, name: str, make: Callable[[], Sequence[Record]]) -> list[Record]:
        """Records that were kept under a name, or are made now.

        Args:
            name: as in `evaluated`.
            make: as there.
        """
        return records_from_json(self.text(name, lambda: to_json(list(make()))), source=name)

    def timed(self, name: str, make: Callable[[], Iterable[Timed]]) -> Iterator[Timed]:
        """The figures of a part, as they are known: those that were kept, if the part came to its end.

        Args:
            name: of the part.
            make: measures them.
        """
        path = self._path(f"part {name}")
        if path is not None and path.exists():
            yield from map(Timed.from_dict, json.loads(path.read_text(encoding="utf-8")))
            return
        found = []
        for one in make():
            found.append(one)
            yield one
        if path is not None:
            self._write(path, json.dumps([one.to_dict() for one in found]))

    def is_done(self, name: str) -> bool:
        """Whether the figures of a part are there."""
        path = self._path(f"part {name}")
        return path is not None and path.exists()

    def place(self, name: str) -> Path | None:
        """A folder for what a recipe keeps while it works, whose parent is there.

        Args:
            name: as in `evaluated`.
        """
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / digest(name)

    def finish(self) -> None:
        """Delete all of it: the benchmark has its results."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def text(self, name: str, make: Callable[[], str]) -> str:
        """A text that was kept under a name, or is made now.

        Args:
            name: as in `evaluated`.
            make: as there.
        """
        path = self._path(name)
        if path is not None and path.exists():
            return path.read_text(encoding="utf-8")
        found = make()
        if path is not None:
            self._write(path, found)
        return found

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{digest(name)}.json"

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)


@dataclass(frozen=True, slots=True)
class Part:
    """Some figures of a benchmark, that are measured without the others.

    Args:
        name: unique in the benchmark.
        minutes: that it takes on two cores that have nothing else to do, about.
        measure: gives the figures; what it keeps in between is not measured twice.
    """

    name: str
    minutes: float
    measure: Callable[[Partial], Iterable[Figure]]


def opened(folder: Path, name: str, identity: str) -> Partial:
    """The results so far of a benchmark, in this state of the code; those of another state are deleted.

    Args:
        folder: of all benchmarks.
        name: of this one.
        identity: of the state.
    """
    own = folder / f"{name}-{identity}"
    for other in folder.glob(f"{name}-*"):
        if other != own and other.name.removeprefix(f"{name}-").isalnum():
            shutil.rmtree(other)
    return Partial(own)


def state_of(data: Path, root: Path = ROOT) -> str:
    """What tells this state of the code, the libraries and the data from others.

    Args:
        data: the data folder; its files count by name and size.
        root: of the project.

    Raises:
        FileError: if there is no code.
    """
    seen = hashlib.sha256()
    for path in _files(root, CODE, ("*.py", "*.toml", "*.cpp")):
        seen.update(str(path.relative_to(root)).encode() + path.read_bytes())
    for path in _files(data, (".",), ("*",)):
        seen.update(f"{path.relative_to(data)} {path.stat().st_size}".encode())
    seen.update(json.dumps(this_machine().versions).encode())
    return seen.hexdigest()[:16]


def _files(root: Path, folders: Sequence[str], patterns: Sequence[str]) -> list[Path]:
    found = {path for folder in folders for pattern in patterns for path in (root / folder).rglob(pattern)}
    if not found:
        raise FileError(str(root), "holds no files that a benchmark could go by", remedy="name another folder")
    return sorted(path for path in found if path.is_file())


def digest(text: str) -> str:
    """A text as the name of a file."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
