"""ONNX Runtime: opening a file, and running batches through it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, FileError
from microjoule.formats.bounded_file import read_file

RUNTIME = f"onnxruntime {onnxruntime.__version__}"
WARNINGS_OFF = 3
LARGEST_BYTES = 2**31 - 1
REMEDY = "export the network again"


def read_model(path: str | Path) -> onnx.ModelProto:
    """An ONNX file in memory, with the numbers that it keeps in other files beside it.

    Raises:
        FileError: if there is none, or something else is in it, or numbers are not where it says.
    """
    content = read_file(path, most_bytes=LARGEST_BYTES)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf says nothing of its exceptions that a type checker could read
        raise FileError(str(path), "is no ONNX file, or a damaged one", remedy=REMEDY) from error
    if not model.graph.node:
        raise FileError(str(path), "is no ONNX file, or an empty one", remedy=REMEDY)
    outside = [tensor for tensor in tensors_of(model.graph) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        _require_beside(Path(path), outside)
        onnx.load_external_data_for_model(model, os.fspath(Path(path).parent))
    return model


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All stored tensors of a graph, and of the graphs within its nodes."""
    graphs = [graph]
    while graphs:
        one = graphs.pop()
        yield from one.initializer
        for sparse in one.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in one.node for attribute in node.attribute):
            yield from (*((attribute.t,) if attribute.HasField("t") else ()), *attribute.tensors)
            graphs += [*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs]


def _require_beside(path: Path, tensors: Iterable[onnx.TensorProto]) -> None:
    """Raise unless the numbers of tensors lie in ordinary files of the same folder, as many as the tensors have."""
    for tensor in tensors:
        told = {entry.key: entry.value for entry in tensor.external_data}
        beside = path.parent / told.get("location", "")
        plain = Path(told.get("location", "")).name == told.get("location") and told.get("location")
        offset, length = told.get("offset", "0"), told.get("length", "0")
        if not plain or beside.is_symlink() or not beside.is_file():
            fact = f"keeps {tensor.name!r:.80} in {told.get('location')!r:.80}, which is no file beside it"
        elif not (offset.isdecimal() and length.isdecimal() and len(offset + length) < 40):
            fact = f"keeps {tensor.name!r:.80} at no place in {beside.name!r:.80}"
        elif int(offset) + int(length) > beside.stat().st_size:
            fact = f"keeps {tensor.name!r:.80} behind the end of {beside.name!r:.80}"
        else:
            continue
        raise FileError(str(path), fact, remedy="keep both files together, or write the network as one file")


def open_session(model: bytes, place: str) -> onnxruntime.InferenceSession:
    """A session on the CPU with as many threads as torch uses.

    Args:
        model: a serialized model.
        place: what to call it in messages.

    Raises:
        FileError: if ONNX Runtime does not take it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = WARNINGS_OFF
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        reason = str(error).splitlines()[0]
        raise FileError(place, f"ONNX Runtime does not take it: {reason}", remedy="export the network again") from error


def run_session(
    session: onnxruntime.InferenceSession, inputs: tuple[Any, ...], names: Sequence[str] | None
) -> list[np.ndarray]:
    """Run one batch.

    Args:
        session: an open session.
        inputs: as the network takes them.
        names: the outputs that are wanted; None for all.

    Raises:
        DataError: if the inputs do not fit.
    """
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    wanted = [entry.name for entry in session.get_inputs()]
    if len(tensors) != len(wanted):
        raise DataError("data", f"gives {len(tensors)} inputs, and the file takes {len(wanted)}", remedy="give as many")
    feed = {name: tensor.detach().cpu().numpy() for name, tensor in zip(wanted, tensors, strict=True)}
    try:
        found: list[np.ndarray] = session.run(names, feed)
    except Exception as error:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise DataError(
            "data",
            f"inputs of shape {shapes} do not go through the file: {str(error).splitlines()[0]}",
            remedy="give inputs of the shape and type that the network takes",
        ) from error
    return found
