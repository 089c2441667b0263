"""A `.pt2` file to a program of torch's, without letting torch read the file.

`torch.export.load` (2.13) runs what a file holds: it unpickles example inputs, objects and old weights; it loads
compiled libraries; it looks operators and classes up by name anywhere in torch, and imports the modules of those that
structures of inputs name; it evaluates sizes as Python, and writes guards and names into code. It also reads another
archive than Python's zipfile does, if a name stands in it twice.

So the archive is read here, once (microjoule.formats.zip_archive). Weights, constants and example inputs are made of
bytes and shapes (`program_tensors`); the graph is written anew from what is known of it (`program_document`); and torch
gets these, in memory. No pickle of the file is read by pickle, and nothing of the file but numbers and plain names
reaches torch.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._export.serde.serialize import SerializedArtifact, deserialize
from torch.export import ExportedProgram

from microjoule.capture.program_document import sound_document
from microjoule.capture.program_tensors import example_inputs, payload
from microjoule.errors import FileError
from microjoule.formats.bounded_text import read_json
from microjoule.formats.zip_archive import ZipArchive, open_zip

MEMBERS = re.compile(
    r"[^/]+/("
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|models/model\.json|archive_format|archive_version|byteorder|version"
    r"|\.data/(version|serialization_id)|extra/.*"
    r")"
)
"""Members of an archive that hold no code; a member of another name may be a pickle or a library."""

REMEDY = "export the model again with torch.export.save"
VERSION = b"0"
UNSOUND = (ValueError, LookupError, TypeError, AttributeError)
LOGGER = "torch._export.serde.serialize"


def read_program(path: Path) -> tuple[ExportedProgram, tuple[tuple[Any, ...], dict[str, Any]] | None]:
    """The program in a `.pt2` file, and the example inputs that are with it, if any.

    Raises:
        FileError: if the file is damaged, holds more than a graph of ATen's operators and tensors, or torch does not
            take it.
    """
    with open_zip(path, remedy=REMEDY) as archive:
        root = _root(archive)
        try:
            place = f"{path}/models/model.json"
            document = sound_document(read_json(bytes(archive.read(f"{root}/models/model.json")), place, remedy=REMEDY))
            weights, constants = payload(archive, root, "weights"), payload(archive, root, "constants")
            example = example_inputs(archive, root)
        except UNSOUND as error:
            raise _refused(path, _reason(error)) from error
    content: Any = (json.dumps(document).encode(), weights, constants, b"" if example is None else example)
    artifact = SerializedArtifact(*content)  # whose last three may be bytes, or what is in them
    try:
        with _silent():
            return deserialize(artifact), example
    except Exception as error:  # whatever torch raises on a graph that does not hang together
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else type(error).__name__
        raise FileError(str(path), f"cannot be read by torch {torch.__version__}: {reason}", remedy=REMEDY) from error


def _root(archive: ZipArchive) -> str:
    """The folder that all members lie in."""
    roots = {name.partition("/")[0] for name in archive.members}
    for name in archive.members:
        if not MEMBERS.fullmatch(name):
            raise _refused(Path(archive.place), f"a member {name!r}, which may be code")
    if len(roots) != 1:
        raise FileError(archive.place, f"holds {len(roots)} archives in one", remedy=REMEDY)
    root = roots.pop()
    if archive.read(f"{root}/archive_version") != VERSION or archive.read(f"{root}/byteorder") != b"little":
        raise FileError(archive.place, "is of another version, or of a machine of another kind", remedy=REMEDY)
    return root


def _refused(path: Path, fact: str) -> FileError:
    return FileError(str(path), f"holds {fact}", remedy=f"{REMEDY}, without it")


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, ValueError) and words else f"no whole program: {type(error).__name__} {words}"


@contextmanager
def _silent() -> Iterator[None]:
    """Without what torch logs of a program that it cannot read; that is in the error."""
    logger = logging.getLogger(LOGGER)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
