"""Arrays from .npz files: a header is read as plain values, and held against the bytes that are there.

Source: NumPy, NEP 1, A Simple File Format for NumPy Arrays,
https://numpy.org/neps/nep-0001-npy-format.html, formats 1.0 to 3.0.
"""

import ast
import math
import struct
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microjoule.errors import FileError
from microjoule.formats.zip_archive import open_zip

Array = NDArray[Any]

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 4096
MOST_DIMENSIONS = 32
KINDS = "biufcSU"
"""Of NumPy's types: truth, whole numbers with and without sign, real, complex, texts; never objects, which are code."""

RATIO, SLACK_BYTES = 64, 1 << 28
"""How far an archive may unpack: label maps, say, are mostly one number, and pack well."""


def read_arrays(path: str | PathLike[str], *, remedy: str) -> dict[str, Array]:
    """The arrays of an .npz file, by name.

    Args:
        path: of the file.
        remedy: what to do if it is damaged.

    Raises:
        FileError: if there is no such file, it is damaged, or an array holds something else than numbers or texts.
    """
    found: dict[str, Array] = {}
    with open_zip(path, remedy=remedy, ratio=RATIO, slack_bytes=SLACK_BYTES) as archive:
        for member in archive.members:
            name = member.removesuffix(".npy")
            try:
                found[name] = _array(archive.read(member))
            except (ValueError, SyntaxError, TypeError, struct.error, RecursionError, MemoryError) as error:
                raise FileError(str(path), f"is damaged: the array {name!r}: {error}", remedy=remedy) from error
    return found


def _array(content: bytearray) -> Array:
    """An array of the bytes of a .npy file, which it shares."""
    if not content.startswith(MAGIC):
        raise ValueError("is no array of NumPy's")
    major = content[6] if len(content) > 8 else 0
    width = {1: 2, 2: 4, 3: 4}.get(major)
    if width is None:
        raise ValueError(f"is of format {major}, which is not known")
    (length,) = struct.unpack_from("<H" if width == 2 else "<I", content, 8)
    start = 8 + width + length
    if length > LONGEST_HEADER or start > len(content):
        raise ValueError(f"has a header of {length} bytes")
    header = ast.literal_eval(bytes(content[8 + width : start]).decode("utf-8" if major == 3 else "latin1").strip())
    kind, shape, columns = _header(header)
    if math.prod(shape) * kind.itemsize != len(content) - start:
        raise ValueError(f"says to be of shape {shape} and type {kind}, and has {len(content) - start} bytes")
    flat = np.frombuffer(content, kind, offset=start) if start < len(content) else np.empty(0, kind)
    return flat.reshape(shape, order="F" if columns else "C")


def _header(header: Any) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("has no header of type, order and shape")
    named, columns, shape = header["descr"], header["fortran_order"], header["shape"]
    if not isinstance(named, str) or len(named) > 16:
        raise ValueError("holds records of several values")
    kind = np.dtype(named)
    if kind.kind not in KINDS or (kind.itemsize == 0 and kind.kind not in "SU"):
        raise ValueError(f"holds values of type {named!r}, which are no numbers")
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS or not isinstance(columns, bool):
        raise ValueError("has no shape or no order")
    if any(type(size) is not int or not 0 <= size < 2**48 for size in shape):
        raise ValueError(f"has the shape {shape}")
    return kind, shape, columns
