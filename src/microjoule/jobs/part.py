"""A finished part of a run as a file: tensors and a text, with a checksum over all that it holds.

The checksum is taken over the run, the part's name, the text and every tensor, so a part that was damaged, swapped with
another one, or comes from another run is never taken for what it is not. The format is safetensors: data, no code.
"""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microjoule.errors import FileError
from microjoule.jobs.describe import tensor_bytes
from microjoule.records.files import write_atomically

CHECKSUM, TEXT = "sha256", "text"
"""The names, in a file's metadata, of what it holds beside tensors."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is stored.

    Args:
        tensors: by name.
        text: anything else, often JSON.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    text: str = ""


class DamagedError(Exception):
    """A stored part is not what was written; the message says why."""


def write_part(path: Path, part: Part, *, run: str, name: str) -> None:
    """Write a part, whole or not at all.

    Args:
        path: of its file; a link there is replaced, not followed.
        part: what it holds.
        run: whose part it is.
        name: which part of that run it is.

    Raises:
        FileError: if it cannot be written.
    """
    tensors = _alone(part.tensors)
    metadata = {CHECKSUM: checksum(Part(tensors, part.text), run=run, name=name), TEXT: part.text}
    write_atomically(without_link(path), save(tensors, metadata=metadata))


def read_part(path: Path, *, run: str, name: str, limit_bytes: int) -> Part | None:
    """What `write_part` wrote, or None if there is no such file.

    Args:
        path: of its file.
        run: whose part is wanted.
        name: which part of that run.
        limit_bytes: a larger file is not read.

    Raises:
        DamagedError: if it is not what was written for this run under this name.
        FileError: if it cannot be read.
    """
    try:
        check_file(path, limit_bytes)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            part = Part({key: file.get_tensor(key) for key in file.keys()}, metadata.get(TEXT, ""))  # noqa: SIM118
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(str(path), f"cannot be read: {error}", remedy="change its permissions, or delete it") from error
    except (SafetensorError, ValueError) as error:
        raise DamagedError(str(error)) from error
    if metadata.get(CHECKSUM) != checksum(part, run=run, name=name):
        raise DamagedError("its checksum does not fit")
    return part


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """The content of a small file.

    Raises:
        DamagedError: as `check_file`.
        OSError: if it cannot be read.
    """
    check_file(path, limit_bytes)
    return path.read_bytes()


def check_file(path: Path, limit_bytes: int) -> None:
    """See that a file can be read to its end: that it is a regular file of its own, and not too large.

    Raises:
        DamagedError: if it is not.
        OSError: if there is none.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError("it is a link, a folder or a device")
    if found.st_size > limit_bytes:
        raise DamagedError(f"it has {found.st_size:,} bytes, where there can be {limit_bytes:,} at most")


def without_link(path: Path) -> Path:
    """The path, free of a link that may lie there, as what is written would go where it points."""
    if path.is_symlink():
        path.unlink()
    return path


def checksum(part: Part, *, run: str, name: str) -> str:
    """64 hexadecimal digits over all that a part holds, and whose it is.

    Args:
        part: what is stored.
        run: whose part it is.
        name: which part of that run.
    """
    named = sorted(part.tensors.items())
    forms = [(key, str(tensor.dtype), list(tensor.shape)) for key, tensor in named]
    seen = hashlib.sha256(json.dumps([run, name, part.text, forms]).encode())
    for _, tensor in named:
        seen.update(tensor_bytes(tensor))
    return seen.hexdigest()


def _alone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share their memory with no other ones, as the format wants them."""
    found, taken = {}, set[int]()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        memory = whole.untyped_storage()
        shared = memory.nbytes() != whole.nbytes or memory.data_ptr() in taken
        found[name] = whole.clone() if shared else whole
        taken.add(memory.data_ptr())
    return found
