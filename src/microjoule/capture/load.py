"""A file to a Network: what `torch.export.save` wrote, or what `network.save` wrote."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.capture.archive import read_program
from microjoule.capture.canonical import canonicalize
from microjoule.capture.export import verified
from microjoule.capture.trace import quietly
from microjoule.errors import FileError, MicrojouleError
from microjoule.formats.zip_archive import open_zip
from microjoule.graph.file.extent import check_extent
from microjoule.graph.file.read import read
from microjoule.graph.file.write import DOCUMENT
from microjoule.graph.network import Example, Network

KINDS = "a .pt2 file of torch.export.save, or a file of network.save"
DAMAGED = "write it again, or copy it again in full"
ARCHIVES = (".pt2", ".mj", ".zip")


def load(path: str | Path, *, allow: Iterable[Any] = ()) -> Network:
    """Load a network from a file; what it is, its content says.

    Nothing in the file is run, and no size in it is believed before it is checked: a file can name torch's functional
    operators, microjoule's own layers and the tensors that it holds, and nothing else but what is handed over.

    Args:
        path: of a `.pt2` file that `torch.export.save` wrote, or a file that `network.save` wrote.
        allow: classes of modules and quantizers of one's own, and operators of one's own (their overloads, such as
            torch.ops.mine.operator.default), that a file of `network.save` may name.

    Raises:
        FileError: if the file is missing, damaged or of another kind, names what is not handed over, or would take far
            more memory or time than its size makes likely.
        CaptureError: if the captured network's output differs from that of the program in the file.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        remedy = "capture the model with mj.capture(module, ...)"
        raise FileError(str(path), "is an ONNX file, which cannot be loaded yet", remedy=remedy)
    try:
        with open_zip(path, remedy=DAMAGED) as archive:
            names = set(archive.members)
    except FileError as error:
        if path.suffix in ARCHIVES or not error.fact.startswith("is damaged"):
            raise
        fact = f"is no network that microjoule reads: it {error.fact}"
        raise FileError(str(path), fact, remedy=f"give {KINDS}") from error
    if DOCUMENT in names:
        return read(path, allow=allow)
    if any(name.endswith("/archive_format") for name in names):
        return _from_program(path)
    raise FileError(str(path), "is no network that microjoule reads", remedy=f"give {KINDS}")


def _from_program(path: Path) -> Network:
    started = time.perf_counter()
    try:
        with quietly():
            program, inputs = read_program(path)
            example = _example(path, inputs)
            stored = sum(tensor.nbytes for tensor in (*program.state_dict.values(), *example.tensors))
            module = canonicalize(program.module(check_guards=False))
            leaves = pytree.tree_leaves((example.args, example.kwargs))
            check_extent(module, module.graph, leaves, stored_bytes=stored)
    except MicrojouleError:
        raise
    except Exception as error:  # whatever torch raises on a program that does not hang together
        reason = " ".join(str(error).split())[:300]
        remedy = "export the model again with torch.export.save"
        raise FileError(str(path), f"does not hang together: {reason}", remedy=remedy) from error

    def source(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, (args, kwargs))  # the program may write there
            return program.module(check_guards=False)(*args, **kwargs)

    with quietly():
        expected = source(*example.args, **example.kwargs)
    return verified(program, example, expected, source=path.name, started=started)


def _example(path: Path, inputs: tuple[tuple[Any, ...], dict[str, Any]] | None) -> Example:
    """The inputs that the file holds; random ones would not fit every model."""
    if inputs is None:
        remedy = "save the program as torch.export.export gives it, with them"
        raise FileError(str(path), "holds no example inputs", remedy=remedy)
    example = Example(*inputs)
    if not example.tensors:
        raise FileError(str(path), "has example inputs without tensors", remedy="export the model with tensors")
    return example
