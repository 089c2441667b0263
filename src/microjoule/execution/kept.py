"""Layers that were fitted already, in a folder, so that a long run can be interrupted and goes on where it was."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microjoule.errors import FileError
from microjoule.graph.network import Network
from microjoule.records.files import write_atomically


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a layer becomes.

    Args:
        integers: of a quantized weight, in the layer's layout, within its grid; None for a weight in floating point.
        bias: (out,).
        error_before: mean squared error of the output over its variance, before.
        error_after: the same, after.
        scale: of the grid, () or (channels / block,), where it was chosen anew; None leaves the grid as it is.
        zero_point: as `scale`.
        weight: in floating point, in the layer's layout, where there are no integers.
    """

    integers: Tensor | None
    bias: Tensor
    error_before: float
    error_after: float
    scale: Tensor | None = None
    zero_point: Tensor | None = None
    weight: Tensor | None = None


class _Files:
    """Files of one run, one a part: in a folder, or nowhere.

    Args:
        folder: where they are; None keeps nothing. It is made if its parent is there.
        run: what tells this run from others, from `fingerprint`.

    Raises:
        FileError: if the folder holds the work of another run, or cannot be made.
    """

    def __init__(self, folder: Path | None, run: str) -> None:
        self.folder = folder
        if folder is not None:
            claim(folder, run)

    def _read(self, part: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """A part's tensors and texts, or None if it is not there.

        Raises:
            FileError: if its file is damaged.
        """
        if self.folder is None or not self._file(part).exists():
            return None
        try:
            with safe_open(self._file(part), "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except SafetensorError as error:
            raise self._damaged(part, error) from error

    def _write(self, part: str, tensors: Mapping[str, Tensor], texts: dict[str, str] | None = None) -> None:
        if self.folder is not None:
            held = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
            write_atomically(self._file(part), save(held, metadata=texts))

    def _damaged(self, part: str, error: Exception) -> FileError:
        return FileError(str(self._file(part)), f"is damaged ({error})", remedy="delete it")

    def _file(self, part: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{part}.safetensors"


class Kept(_Files):
    """The fitted layers of one run; see `_Files`."""

    def read(self, layer: str) -> Fitted | None:
        """A layer that was fitted already, or None.

        Raises:
            FileError: if its file is damaged.
        """
        known = self._read(layer)
        if known is None:
            return None
        tensors, texts = known
        try:
            errors: dict[str, Any] = {name: float(value) for name, value in texts.items()}
            return Fitted(**{"integers": None, **errors, **tensors})
        except (ValueError, TypeError) as error:
            raise self._damaged(layer, error) from error

    def write(self, layer: str, fitted: Fitted) -> None:
        """Keep a layer."""
        named = {name: getattr(fitted, name) for name in ("integers", "bias", "scale", "zero_point", "weight")}
        errors = {"error_before": repr(fitted.error_before), "error_after": repr(fitted.error_after)}
        self._write(layer, {name: tensor for name, tensor in named.items() if tensor is not None}, errors)


class KeptTensors(_Files):
    """The finished parts of one run as named tensors; see `_Files`."""

    def read(self, part: str) -> dict[str, Tensor] | None:
        """The tensors of a part that was finished already, or None.

        Raises:
            FileError: if its file is damaged.
        """
        known = self._read(part)
        return None if known is None else known[0]

    def write(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep a part."""
        self._write(part, tensors)


def claim(folder: Path, run: str) -> None:
    """Make a folder the place of a run, unless another run has it.

    Args:
        folder: it is made if its parent is there.
        run: what tells this run from others, from `fingerprint`.

    Raises:
        FileError: if the folder holds the work of another run, or cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(str(folder), f"cannot be made: {error.strerror}", remedy="choose another folder") from error
    name = folder / "run.json"
    if not name.exists():
        write_atomically(name, json.dumps({"run": run}))
    elif name.read_text(encoding="utf-8") != json.dumps({"run": run}):
        raise FileError(
            str(folder),
            "holds the work of another run: another network, data, or settings",
            remedy="name an empty folder, or delete this one",
        )


def fingerprint(network: Network, settings: Mapping[str, Any]) -> str:
    """A name for a run: the network with all it stores, and the settings."""
    digest = hashlib.sha256(json.dumps({name: str(value) for name, value in settings.items()}).encode())
    digest.update(str(network.graph).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
