"""ONNX Runtime in the file's own order: what ran when, what its arena held, and whether the outputs stay the same.

By default ONNX Runtime sorts the nodes itself, against the file's order. A session that asks for PRIORITY_BASED takes,
of the nodes that can run, the one that the file has first, but Shape and Size before all others; so a file in order is
followed. Only a graph that it leaves as it is has the file's nodes: here it optimizes nothing. To order an optimized
network, order the file that `optimize_onnx` writes.

Since version 1.31 the profiler tells what the arena held after each kernel, which is exact. The arena holds what nodes
make and small constants, not the caller's inputs; the constants are taken off here. By default ONNX Runtime lays a new
value into the place of a dead one of the same size, which it therefore keeps until then, and from the second run on it
takes one block that it planned in the first: both can take more than is needed, and both are off unless asked for.

Source: ONNX Runtime, onnxruntime/core/graph/graph_viewer.cc, https://github.com/microsoft/onnxruntime
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

from microjoule.deploy.onnx_order import steps
from microjoule.deploy.session import WARNINGS_OFF, read_model
from microjoule.errors import DataError, FileError, SettingError
from microjoule.records.files import write_atomically

KERNEL = "_kernel_time"
BATCH = "batch"
UNTOUCHED = "session.disable_quant_qdq"
"""With it, nodes that dequantize are not doubled before the graph is sorted."""


@dataclass(frozen=True, slots=True)
class OnnxRun:
    """One run of a file.

    Args:
        outputs: what the caller got.
        order: the nodes in the order in which they ran, by their index in the file without constants.
        inserted: how many nodes ran that are not in the file.
        held_bytes: the most that the arena held for values at the end of a node; None if this version does not tell.
        peak_bytes: the most at any time, with what kernels take while they run, each piece filled up to 256 bytes;
            None if this version does not tell.
        fullest: the node at whose end most was held.
    """

    outputs: tuple[np.ndarray, ...]
    order: tuple[int, ...]
    inserted: int
    held_bytes: int | None
    peak_bytes: int | None
    fullest: int | None

    @property
    def follows_file(self) -> bool:
        """Whether the nodes ran in the order in which the file has them."""
        return self.order == tuple(sorted(self.order)) and not self.inserted


def run_onnx_in_order(
    path: str | Path, inputs: Mapping[str, np.ndarray], *, reuses: bool = False, plans_block: bool = False
) -> OnnxRun:
    """Run a file in its own order, on one thread and without optimizing it, and look at what ran.

    Args:
        path: of an ONNX file.
        inputs: arrays by the names of the file's inputs.
        reuses: lay new values into the places of dead ones of the same size, as is ONNX Runtime's default.
        plans_block: take one block for all values, as is its default from the second run on; that run is looked at.

    Raises:
        FileError: if there is no such file, or ONNX Runtime does not take it.
        DataError: if the inputs do not go through it.
    """
    model = read_model(path)
    outputs, kernels = _kernels(str(path), model, inputs, reuses=reuses, plans_block=plans_block)
    return _looked_at(model, outputs, kernels, runs=2 if plans_block else 1)


def compare_onnx(
    first: str | Path, second: str | Path, *, samples: int = 4, seed: int = 0, batch: int = 1
) -> tuple[bool, OnnxRun, OnnxRun]:
    """Run two files on the same random inputs, each in its own order, and look at every bit of their outputs.

    Args:
        first: an ONNX file.
        second: one with the same inputs, say the same in another order.
        samples: how many inputs.
        seed: of the inputs.
        batch: how many samples, where the file leaves the first size of its inputs open.

    Returns:
        Whether all outputs are the same, and the last run of each.

    Raises:
        SettingError: for a number below 1.
        FileError, DataError: as `run_onnx_in_order`.
    """
    for name, number in (("samples", samples), ("batch", batch)):
        if number < 1:
            raise SettingError(name, f"is {number}", remedy="use at least 1")
    model, random = read_model(first), np.random.default_rng(seed)
    same = True
    for _ in range(samples):
        inputs = {one.name: _random(one, batch, random) for one in _given(model)}
        runs = run_onnx_in_order(first, inputs), run_onnx_in_order(second, inputs)
        same = same and _bits(runs[0].outputs) == _bits(runs[1].outputs)
    return same, *runs


def optimize_onnx(path: str | Path, target: str | Path, *, batch: int = 1) -> Path:
    """Write what ONNX Runtime makes of a file before it runs it, for one batch: a file that can be ordered.

    Args:
        path: of an ONNX file.
        target: where to write.
        batch: how many samples, where the file leaves the first size of its inputs open.

    Returns:
        The path that was written.

    Raises:
        FileError: if there is no such file, ONNX Runtime does not take it, or the target cannot be written.
    """
    model = read_model(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = WARNINGS_OFF
    for one in _given(model):
        first = next(iter(one.type.tensor_type.shape.dim), None)
        if first is not None and not first.HasField("dim_value"):
            first.dim_param = first.dim_param or BATCH
            options.add_free_dimension_override_by_name(first.dim_param, batch)
    with TemporaryDirectory() as folder:
        written = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(written)
        _open(str(path), model, options)
        found = onnx.load(written)
    return write_atomically(target, _with_shapes(str(path), found, batch).SerializeToString())


def _with_shapes(place: str, model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The same with the shapes of values of which ONNX does not know the operator: those that a run has."""
    random = np.random.default_rng(0)
    kernels = _kernels(place, model, {one.name: _random(one, batch, random) for one in _given(model)})[1]
    known = {one.name for one in (*model.graph.value_info, *model.graph.output)}
    for kernel in kernels:
        node = _node(model, kernel)
        made = [name for name in node.output if name] if node is not None else []
        for name, entry in zip(made, kernel["output_type_shape"], strict=False):
            for kind, shape in entry.items() if name not in known else ():
                number = onnx.TensorProto.DataType.Value(kind.upper())
                model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, number, shape))
    return model


def _kernels(
    place: str,
    model: onnx.ModelProto,
    inputs: Mapping[str, np.ndarray],
    *,
    reuses: bool = False,
    plans_block: bool = False,
) -> tuple[tuple[np.ndarray, ...], list[dict[str, Any]]]:
    """The outputs of a run in order, and what the profiler says of each kernel; of two runs if there is a block."""
    with TemporaryDirectory() as folder:
        session = _session(place, model, folder, reuses=reuses, plans_block=plans_block)
        try:
            for _ in range(2 if plans_block else 1):
                outputs: list[np.ndarray] = []  # those of the first run lie in the arena for as long as they are kept
                outputs = session.run(None, dict(inputs))
        except Exception as error:  # its exceptions have no common class of their own
            reason = str(error).splitlines()[0]
            raise DataError(place, f"the inputs do not go through it: {reason}", remedy="give others") from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    kernels = [one["args"] for one in events if one.get("cat") == "Node" and one["name"].endswith(KERNEL)]
    return tuple(outputs), kernels


def _session(
    place: str, model: onnx.ModelProto, folder: str, *, reuses: bool, plans_block: bool
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_reuse, options.enable_mem_pattern = reuses, plans_block
    options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
    options.add_session_config_entry(UNTOUCHED, "1")
    options.log_severity_level = WARNINGS_OFF
    return _open(place, model, options)


def _open(place: str, model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        reason = str(error).splitlines()[0]
        raise FileError(place, f"ONNX Runtime does not take it: {reason}", remedy="export it again") from error


def _looked_at(
    model: onnx.ModelProto, outputs: tuple[np.ndarray, ...], kernels: Sequence[dict[str, Any]], *, runs: int
) -> OnnxRun:
    """The last run's order and bytes; what was held before the first is taken off."""
    last = kernels[len(kernels) // runs * (runs - 1) :]
    order = [int(one["node_index"]) for one in last if _node(model, one) is not None]
    inserted = len(last) - len(order)
    if not kernels or "mem_bytes_requested_in_use" not in kernels[0]:
        return OnnxRun(outputs, tuple(order), inserted, None, None, None)
    held = [int(one["mem_bytes_requested_in_use"]) for one in last]
    before = int(kernels[0]["mem_bytes_requested_in_use"]) - int(kernels[0]["mem_requested_in_use_delta"])
    whole_before = int(kernels[0]["mem_bytes_in_use"]) - int(kernels[0]["mem_in_use_delta"])
    peak = max(int(one["mem_in_use_peak"]) for one in last) - whole_before
    fullest = int(last[held.index(max(held))]["node_index"])
    return OnnxRun(outputs, tuple(order), inserted, max(held) - before, peak, fullest)


def _node(model: onnx.ModelProto, kernel: Mapping[str, Any]) -> onnx.NodeProto | None:
    """The file's node that ran, or None for one that the runtime inserted."""
    nodes, index = steps(model), int(kernel["node_index"])
    return nodes[index] if index < len(nodes) and nodes[index].op_type == kernel["op_name"] else None


def _given(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    stored = {one.name for one in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in stored]


def _random(entry: onnx.ValueInfoProto, batch: int, random: np.random.Generator) -> np.ndarray:
    """Small whole numbers, or normal reals; open sizes are the batch."""
    tensor = entry.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else batch for dim in tensor.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if kind.kind in "iub":
        return random.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)
    return random.standard_normal(shape).astype(kind)


def _bits(outputs: Sequence[np.ndarray]) -> list[tuple[tuple[int, ...], str, bytes]]:
    return [(one.shape, str(one.dtype), one.tobytes()) for one in outputs]
