"""Where the data folder is, and reading from it: every file is held against the checksum in its folder's manifest."""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from microjoule.errors import FileError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import read_json

VARIABLE = "MICROJOULE_DATA"
"""The environment variable that names the data folder."""

DEFAULT_FOLDER = Path("..") / "shared" / "data"
"""Beside the checkout, seen from the current directory."""

REMEDY = f"give the folder as data=..., or set {VARIABLE}"
CHUNK_BYTES = 1 << 20


def data_folder(data: str | Path | None = None) -> Path:
    """The folder that holds `weights` and the data sets.

    Args:
        data: the folder; if None, the environment variable MICROJOULE_DATA, else `../shared/data`.

    Raises:
        FileError: there is no such folder.
    """
    folder = Path(data or os.environ.get(VARIABLE) or DEFAULT_FOLDER)
    if not folder.is_dir():
        raise FileError(str(folder), "there is no such data folder", remedy=REMEDY)
    return folder


def checked(path: Path) -> Path:
    """The path of a file that exists and is the one that its folder's MANIFEST.json describes.

    A folder without a manifest is the user's own, and is read as it is. A file is read through once a process.

    Raises:
        FileError: the file is missing, is not in the manifest, or differs from it.
    """
    if not path.is_file():
        raise FileError(str(path), "there is no such file", remedy=REMEDY)
    manifest = path.parent / "MANIFEST.json"
    if manifest.is_file():
        stat = path.stat()
        _compare(path.resolve(), manifest.resolve(), (stat.st_size, stat.st_mtime_ns))
    return path


@cache
def _compare(path: Path, manifest: Path, _state: tuple[int, int]) -> None:
    """Compare once for each state (size and time) of the file: the cache holds what was found sound."""
    expected = _checksums(manifest).get(path.name)
    if expected is None:
        raise FileError(str(path), "is not listed in MANIFEST.json", remedy="fetch the folder again, or list the file")
    found = _sha256(path)
    if found != expected:
        raise FileError(
            str(path),
            f"has the checksum {found[:16]}..., MANIFEST.json says {expected[:16]}...",
            remedy="the file is damaged or another version: fetch it again",
        )


def _checksums(manifest: Path) -> dict[str, str]:
    try:
        text = read_text(manifest, remedy=REMEDY)
        files = read_json(text, str(manifest), remedy=REMEDY)["files_sha256"]
        return {name: str(entry["sha256"]) for name, entry in files.items()}
    except (FileError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            str(manifest), f"cannot be read as a manifest ({error!r})", remedy="fetch the folder again"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        FileError: the file is missing, damaged, or another one than its manifest says.
    """
    try:
        return load_file(checked(path))
    except SafetensorError as error:
        raise FileError(str(path), f"is not a safetensors file ({error})", remedy="fetch it again") from error


def filled(module: nn.Module, path: Path, rename: Callable[[str], str] | None = None) -> nn.Module:
    """The module with the weights of a file in it, in eval mode.

    Args:
        module: has exactly the tensors of the file.
        path: the safetensors file.
        rename: from a name in the file to a name in the module; None if they are the same.

    Raises:
        FileError: the file cannot be read, or its names or shapes do not fit the module.
    """
    tensors = read_tensors(path)
    named: Mapping[str, Tensor] = {rename(name): value for name, value in tensors.items()} if rename else tensors
    try:
        module.load_state_dict(named, strict=True)
    except RuntimeError as error:
        raise FileError(
            str(path), f"does not fit {type(module).__name__}: {error}", remedy="use the file made for this network"
        ) from error
    return module.eval()


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A module with random weights from a seed, in eval mode; the caller's random state is left alone.

    Batch norms get statistics too: with those of a fresh module (mean 0, variance 1) folding them would prove little.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
        with torch.no_grad():
            for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
                _randomise(norm)
    return module.eval()


def _randomise(norm: nn.BatchNorm2d) -> None:
    for tensor, low, high in (
        (norm.weight, 0.5, 1.5),
        (norm.bias, -0.5, 0.5),
        (norm.running_mean, -0.5, 0.5),
        (norm.running_var, 0.5, 1.5),
    ):
        if tensor is not None:
            tensor.uniform_(low, high)
