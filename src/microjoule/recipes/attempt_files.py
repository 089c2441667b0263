"""Where attempts are kept, so that a long search can be interrupted and goes on where it was.

An attempt has three places in the folder: what it is (a network), what was found of it (records), and a folder for the
layers that a method keeps while it works. Each file is written whole or not at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from microjoule.capture.load import load
from microjoule.errors import FileError
from microjoule.execution.tasks import digest
from microjoule.graph.network import Network
from microjoule.records.facts import Record
from microjoule.records.files import write_atomically
from microjoule.records.json_io import records_from_json, to_json


@dataclass(frozen=True, slots=True)
class AttemptFiles:
    """The files of one search.

    Args:
        folder: where they are; it is there.
    """

    folder: Path

    def records(self, name: str) -> list[Record]:
        """What was found of an attempt; empty if nothing was.

        Raises:
            FileError: if the file is damaged.
        """
        path = self._path(name, ".json")
        if not path.exists():
            return []
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(str(path), f"is damaged ({error})", remedy="delete it") from error
        return records_from_json(text, source=str(path))

    def keep_records(self, name: str, records: Sequence[Record]) -> None:
        """Write what was found of an attempt, in place of what was known before."""
        write_atomically(self._path(name, ".json"), to_json(list(records)))

    def network(self, name: str) -> Network | None:
        """The network that an attempt gave, or None.

        Raises:
            FileError: if the file is damaged.
        """
        path = self._path(name, ".mj")
        return load(path) if path.exists() else None

    def keep_network(self, name: str, network: Network) -> None:
        """Write the network that an attempt gave."""
        network.save(self._path(name, ".mj"))

    def layers(self, name: str) -> Path:
        """The folder for what a method keeps while it works."""
        return self._path(name, ".layers")

    def _path(self, name: str, ending: str) -> Path:
        """A name as far as a file can have it, and a hash, as two names may look the same then."""
        readable = re.sub(r"[^\w.-]+", "_", name)[:80]
        return self.folder / f"{readable}-{digest(name)[:8]}{ending}"
