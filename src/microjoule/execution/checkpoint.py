"""The state of a training run in a folder, so that a run that was stopped goes on and ends in the same weights."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from microjoule.errors import FileError
from microjoule.execution.kept import claim
from microjoule.records.files import write_atomically

FILE = "checkpoint.pt"


class Checkpoints:
    """The last state of one run: in a folder, or nowhere.

    Args:
        folder: where it is; None keeps nothing. It is made if its parent is there.
        run: what tells this run from others, from `kept.fingerprint`.

    Raises:
        FileError: if the folder holds the work of another run, or cannot be made.
    """

    def __init__(self, folder: str | Path | None, run: str) -> None:
        self.path = None if folder is None else Path(folder) / FILE
        if folder is not None:
            claim(Path(folder), run)

    def write(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the last one; a run that is killed meanwhile leaves the last one."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.path, buffer.getvalue())

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """The last state, or None if there is none.

        Args:
            device: where its tensors are wanted.

        Raises:
            FileError: if it is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, ValueError, zipfile.BadZipFile, OSError) as error:
            raise FileError(str(self.path), f"is damaged ({error})", remedy="delete it") from error
        except Exception as error:  # torch tells of content that it does not trust by an error of the pickle module
            raise FileError(str(self.path), "holds more than tensors and numbers", remedy="delete it") from error
        return state
