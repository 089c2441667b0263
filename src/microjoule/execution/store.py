"""Values of a network for all of its data, batch by batch: in memory up to a limit, on disk beyond it."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from microjoule.errors import FileError
from microjoule.numerics.affine import Affine, dequantize, quantize

LIMIT_BYTES = 2**25
"""What one store keeps in memory by default: 32 MiB; the system caches what lies on disk as far as it has room.

More would cost much more: small tensors that stay, between large ones that go, leave the heap full of holes."""


class Store:
    """Keeps values by key; those on a grid as integers, from which they come back bit for bit.

    Args:
        limit_bytes: of memory; what is put in beyond that goes to a temporary folder, which goes with the store.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._kept: dict[Hashable, Any] = {}
        self._affine: dict[Hashable, tuple[Affine, torch.device]] = {}
        self._types: dict[Hashable, torch.dtype] = {}
        self._folder: str | None = None

    def put(self, key: Hashable, value: Any, affine: Affine | None = None) -> None:
        """Keep a value.

        Args:
            key: to ask for it.
            value: a tensor of any shape, or anything else, which stays in memory.
            affine: the grid that a tensor lies on, if there is one.

        Raises:
            FileError: if the temporary folder cannot take it.
        """
        if not isinstance(value, Tensor):
            self._kept[key] = value
            return
        if affine is not None and affine.scale.dim() == 0:
            self._affine[key] = affine, value.device
            value = _packed(quantize(value, affine), affine)
        size = value.nbytes
        if value.device.type == "cpu" and self.used_bytes + size > self.limit_bytes:
            self._types[key] = value.dtype
            self._kept[key] = self._written(value)
            return
        self.used_bytes += size
        self._kept[key] = value

    def get(self, key: Hashable) -> Any:
        """A value that was put in."""
        value = self._kept[key]
        if isinstance(value, Path):
            value = torch.from_numpy(np.load(value, allow_pickle=False)).view(self._types[key])
        if key not in self._affine:
            return value
        affine, _ = self._affine[key]
        return dequantize(value.to(torch.int32), affine)

    def drop(self, key: Hashable) -> None:
        """Forget a value."""
        value = self._kept.pop(key)
        self._affine.pop(key, None)
        self._types.pop(key, None)
        if isinstance(value, Path):
            value.unlink()
        elif isinstance(value, Tensor):
            self.used_bytes -= value.nbytes

    def __contains__(self, key: Hashable) -> bool:
        """Whether there is such a value."""
        return key in self._kept

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._kept)

    def _written(self, value: Tensor) -> Path:
        try:
            if self._folder is None:
                self._folder = tempfile.mkdtemp(prefix="microjoule-")
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            descriptor, name = tempfile.mkstemp(suffix=".npy", dir=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                np.save(file, _storable(value).numpy(), allow_pickle=False)
        except OSError as error:
            raise FileError(
                tempfile.gettempdir(),
                f"cannot take the activations of all samples ({error})",
                remedy="use fewer samples, or name a larger folder in TMPDIR",
            ) from error
        return Path(name)


def _storable(value: Tensor) -> Tensor:
    """A tensor whose type numpy has, with the same bytes: that of integers for bfloat16 and its like."""
    plain = value.detach().contiguous()
    if value.dtype.is_floating_point and value.dtype not in (torch.float16, torch.float32, torch.float64):
        return plain.view({1: torch.uint8, 2: torch.int16}[value.dtype.itemsize])
    return plain


def _packed(integers: Tensor, affine: Affine) -> Tensor:
    """The smallest type that holds a grid's integers."""
    grid = affine.grid
    types = (torch.uint8, torch.int8, torch.int16, torch.int32)
    fitting = (t for t in types if torch.iinfo(t).min <= grid.qmin and grid.qmax <= torch.iinfo(t).max)
    return integers.to(next(fitting))
