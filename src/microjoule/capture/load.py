"""A file to a Network: what `torch.export.save` wrote, or what `network.save` wrote."""

import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from microjoule.capture.archive import check_archive
from microjoule.capture.export import quietly, verified
from microjoule.errors import FileError
from microjoule.graph.file.read import read
from microjoule.graph.network import Example, Network

KINDS = "a .pt2 file of torch.export.save, or a file of network.save"


def load(path: str | Path) -> Network:
    """Load a network from a file; what it is, its content says.

    Nothing in the file is run. Of `.pt2` files only those are taken that torch reads without running anything
    (microjoule.capture.archive).

    Args:
        path: of a `.pt2` file that `torch.export.save` wrote, or a file that `network.save` wrote.

    Raises:
        FileError: if the file is missing, damaged or of another kind.
        CaptureError: if the captured network's output differs from that of the program in the file.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except FileNotFoundError as error:
        raise FileError(str(path), "does not exist", remedy="check the path") from error
    except IsADirectoryError as error:
        raise FileError(str(path), "is a folder", remedy="give the path of a file") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    if "network.json" in names:
        return read(path)
    if any(name.endswith("/archive_format") for name in names):
        return _from_program(path)
    raise FileError(str(path), "is no network that microjoule reads", remedy=f"give {KINDS}")


def _unreadable(path: Path, error: Exception) -> FileError:
    if path.suffix == ".onnx":
        return FileError(
            str(path),
            "is an ONNX file, which cannot be loaded yet",
            remedy="capture the model with mj.capture(module, ...)",
        )
    if path.suffix in (".pt2", ".mj", ".zip"):
        return FileError(str(path), f"is damaged: {error}", remedy="write it again, or copy it again in full")
    return FileError(str(path), f"is no network that microjoule reads: {error}", remedy=f"give {KINDS}")


def _from_program(path: Path) -> Network:
    started = time.perf_counter()
    check_archive(path)
    try:
        with quietly():
            program = torch.export.load(path)
    except Exception as error:
        raise FileError(
            str(path), f"cannot be read by torch {torch.__version__}: {error}", remedy="export the model again"
        ) from error
    example = _example(path, program)

    def source(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, (args, kwargs))  # the program may write there
            return program.module(check_guards=False)(*args, **kwargs)

    with quietly():
        expected = source(*example.args, **example.kwargs)
    return verified(program, example, expected, source=path.name, started=started)


def _example(path: Path, program: ExportedProgram) -> Example:
    """The inputs that the file holds; random ones would not fit every model."""
    if not program.example_inputs:
        raise FileError(
            str(path), "holds no example inputs", remedy="save the program as torch.export.export gives it, with them"
        )
    args, kwargs = program.example_inputs
    example = Example(tuple(args), dict(kwargs))
    if not example.tensors:
        raise FileError(str(path), "has example inputs without tensors", remedy="export the model with tensors")
    return example
