"""The tensors of a `.pt2` file: weights, constants and example inputs, as bytes that are there and shapes that fit."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from microjoule.errors import FileError
from microjoule.formats.bounded_text import read_json
from microjoule.formats.tensor_pickle import PickleError, StoredTensor, read_tensors
from microjoule.formats.zip_archive import ZipArchive, zip_in
from microjoule.graph.file.names import path
from microjoule.graph.file.values import TORCH_NAMES

NUMBERED = (
    "1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 6 float16, 7 float32, 8 float64, 10 complex64, 11 complex128, "
    "12 bool, 13 bfloat16, 28 uint16, 34 uint32, 35 uint64, 29 float8_e4m3fn, 30 float8_e5m2, 31 float8_e4m3fnuz, "
    "32 float8_e5m2fnuz"
)
DTYPES = {int(number): name for number, name in (entry.split() for entry in NUMBERED.split(", "))}
"""torch's types by the numbers that torch.export writes for them."""

PAYLOAD = re.compile(r"(weight|tensor)_\d{1,9}")
EXPANDED_BYTES, EXPANDED_RATIO = 1 << 26, 64
"""What tensors may seem to have that show the same numbers many times: some bytes, and some times what is there."""


class Storages:
    """Memory of tensors, read once by key, so that tensors which share it go on sharing it.

    Args:
        read: key -> the bytes.
    """

    def __init__(self, read: Callable[[str], bytearray]) -> None:
        self._read = read
        self._found: dict[str, bytearray] = {}
        self._seen_bytes = self._there_bytes = 0

    def tensor(self, key: str, dtype: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        """A tensor, which lies within its memory.

        Raises:
            ValueError: if it does not, or if all tensors seem to be far larger than what is there.
        """
        if key not in self._found:
            self._found[key] = self._read(key)
            self._there_bytes += len(self._found[key])
        content, kind = self._found[key], TORCH_NAMES[dtype]
        if len(shape) != len(strides) or any(type(one) is not int or one < 0 for one in (offset, *shape, *strides)):
            raise ValueError(f"a tensor of shape {shape} and strides {strides}")
        if 0 in shape:
            return torch.empty(shape, dtype=kind)
        size = torch.empty(0, dtype=kind).element_size()
        last = offset + sum((count - 1) * step for count, step in zip(shape, strides, strict=True))
        if (last + 1) * size > len(content):
            raise ValueError(f"a tensor of shape {shape}, which reaches over its {len(content)} bytes")
        whole = torch.frombuffer(content, dtype=kind, count=len(content) // size)
        made = whole.as_strided(shape, strides, offset)
        self._seen_bytes += made.numel() * size
        if self._seen_bytes > EXPANDED_BYTES + EXPANDED_RATIO * self._there_bytes:
            raise ValueError(f"tensors that seem to have {self._seen_bytes:,} bytes, and have {self._there_bytes:,}")
        return made


def payload(archive: ZipArchive, root: str, folder: str) -> dict[str, Tensor]:
    """The weights or constants of a program by their names.

    Args:
        archive: the file.
        root: the archive's first folder.
        folder: "weights" or "constants".

    Raises:
        FileError: if a member is missing or damaged.
        ValueError, LookupError, TypeError: if an entry is no tensor.
    """
    name = f"{root}/data/{folder}/model_{folder}_config.json"
    entries = read_json(bytes(archive.read(name)), f"{archive.place}/{name}", remedy=archive.remedy)["config"]
    storages = Storages(lambda key: archive.read(f"{root}/data/{folder}/{key}"))
    return {path(name): _stored(entry, storages) for name, entry in entries.items()}


def _stored(entry: Any, storages: Storages) -> Tensor:
    key, meta = entry["path_name"], entry["tensor_meta"]
    if entry["use_pickle"] is not False:
        raise ValueError(f"a pickled tensor {key!r:.80}")
    if not isinstance(key, str) or not PAYLOAD.fullmatch(key):
        raise ValueError(f"an object {key!r:.80} that is no tensor")
    shape, strides = (tuple(one["as_int"] for one in meta[name]) for name in ("sizes", "strides"))
    made = storages.tensor(key, DTYPES[meta["dtype"]], meta["storage_offset"]["as_int"], shape, strides)
    learns = meta["requires_grad"] is True and (made.is_floating_point() or made.is_complex())
    return nn.Parameter(made, requires_grad=learns) if entry["is_param"] is True else made


def example_inputs(archive: ZipArchive, root: str) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """What the program was exported with; None if the file holds none.

    Raises:
        FileError: if a member is missing or damaged.
        ValueError, LookupError, TypeError: if they are more than tensors, numbers and texts.
    """
    member = f"{root}/data/sample_inputs/model.pt"
    content = archive.read(member)
    if not content:
        return None
    inner = zip_in(BytesIO(content), len(content), f"{archive.place}/{member}", remedy=archive.remedy)
    folder = next(iter(inner.members), "").partition("/")[0]
    if f"{folder}/byteorder" in inner.members and inner.read(f"{folder}/byteorder") != b"little":
        raise FileError(archive.place, "was written on a machine of another kind", remedy=archive.remedy)
    storages = Storages(lambda key: inner.read(f"{folder}/data/{key}"))
    try:
        plain = read_tensors(inner.read(f"{folder}/data.pkl"))
    except PickleError as error:
        raise ValueError(f"example inputs that are more than tensors, numbers and texts: {error}") from error
    found = pytree.tree_map_only(StoredTensor, lambda one: _example(one, storages), plain)
    if not isinstance(found, tuple) or [type(part) for part in found] != [tuple, dict]:
        raise ValueError("example inputs that are no tuple and dict")
    args, kwargs = found
    return args, kwargs


def _example(one: StoredTensor, storages: Storages) -> Tensor:
    made = storages.tensor(one.key, one.dtype, one.offset, one.shape, one.strides)
    return nn.Parameter(made, requires_grad=False) if one.is_parameter else made
