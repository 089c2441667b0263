"""ONNX Runtime: opening a file, and running batches through it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, FileError

RUNTIME = f"onnxruntime {onnxruntime.__version__}"
WARNINGS_OFF = 3


def read_model(path: str | Path) -> onnx.ModelProto:
    """An ONNX file in memory.

    Raises:
        FileError: if there is none, or something else is in it.
    """
    try:
        model = onnx.load(os.fspath(path))
    except OSError as error:
        raise FileError(str(path), f"cannot be read: {error.strerror or error}", remedy="check the path") from error
    except Exception as error:  # protobuf says nothing of its exceptions that a type checker could read
        raise FileError(str(path), "is no ONNX file, or a damaged one", remedy="export the network again") from error
    if not model.graph.node:
        raise FileError(str(path), "is no ONNX file, or an empty one", remedy="export the network again")
    return model


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
