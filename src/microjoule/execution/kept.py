"""Layers that were fitted already, in a folder, so that a long run can be interrupted and goes on where it was."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
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


class Kept:
    """The fitted layers of one run: in a folder, or nowhere.

    Args:
        folder: where they are; None keeps nothing. It is made if its parent is there.
        run: what tells this run from others, from `fingerprint`.

    Raises:
        FileError: if the folder holds the work of another run, or cannot be made.
    """

    def __init__(self, folder: Path | None, run: str) -> None:
        self.folder = folder
        if folder is None:
            return
        claim(folder, run)

    def read(self, layer: str) -> Fitted | None:
        """A layer that was fitted already, or None.

        Raises:
            FileError: if its file is damaged.
        """
        if self.folder is None or not self._file(layer).exists():
            return None
        try:
            with safe_open(self._file(layer), "pt") as file:
                found: dict[str, Any] = {name: float(value) for name, value in file.metadata().items()}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return Fitted(**{"integers": None, **found, **tensors})
        except (SafetensorError, ValueError, TypeError) as error:
            raise FileError(str(self._file(layer)), f"is damaged ({error})", remedy="delete it") from error

    def write(self, layer: str, fitted: Fitted) -> None:
        """Keep a layer."""
        if self.folder is None:
            return
        named = {name: getattr(fitted, name) for name in ("integers", "bias", "scale", "zero_point", "weight")}
        tensors = {name: tensor.contiguous().cpu() for name, tensor in named.items() if tensor is not None}
        errors = {"error_before": repr(fitted.error_before), "error_after": repr(fitted.error_after)}
        write_atomically(self._file(layer), save(tensors, metadata=errors))

    def _file(self, layer: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{layer}.safetensors"


class KeptTensors:
    """The finished parts of one run as named tensors: in a folder, or nowhere.

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

    def read(self, part: str) -> dict[str, Tensor] | None:
        """The tensors of a part that was finished already, or None.

        Raises:
            FileError: if its file is damaged.
        """
        if self.folder is None or not self._file(part).exists():
            return None
        try:
            return load(self._file(part).read_bytes())
        except (SafetensorError, ValueError) as error:
            raise FileError(str(self._file(part)), f"is damaged ({error})", remedy="delete it") from error

    def write(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep a part."""
        if self.folder is not None:
            held = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
            write_atomically(self._file(part), save(held))

    def _file(self, part: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{part}.safetensors"


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
