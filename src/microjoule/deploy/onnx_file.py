"""A network as an ONNX file with integers inside, which any runtime for ONNX runs as it is.

    mj.export(network, "model.onnx")

What the file computes is what the simulation computes: the same rounding on the same grids. Weights are stored as
integers, biases as integers of 32 bits. The integers of each quantized value `v` are called `v_quantized` in the file.
A network without quantizers is written in floating point.
"""

from collections import Counter
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from microjoule.deploy.encodings import encodings_text
from microjoule.deploy.onnx_graph import write_integers
from microjoule.deploy.trace import DOMAIN, trace
from microjoule.errors import ExportError
from microjoule.graph.network import Network
from microjoule.records.files import write_atomically
from microjoule.records.measured import Exported

LARGEST_BYTES = 2**31 - 1
"""What one protobuf message, and so one ONNX file, can hold."""


def export(
    network: Network, path: str | Path, *, encodings: str | Path | None = None, packed: bool = False, stage: str = ""
) -> Exported:
    """Write a network as ONNX.

    Args:
        network: with calibrated quantizers, or none.
        path: of the file; it is written whole or not at all.
        encodings: where to write the grids as AIMET's encodings as well; None for nowhere.
        packed: hold weights of up to 4 bits in half a byte (INT4 of opset 21), not in a byte; few runtimes have
            integer kernels for it.
        stage: which network this is, for the report.

    Returns:
        The record, which the network's history gets as well.

    Raises:
        ExportError: for a quantizer without a range, an operator that ONNX has no words for, or a file over 2 GiB.
        FileError: if a file cannot be written.
    """
    model, notes = onnx_model(network, packed=packed)
    content = _bytes(model)
    written = write_atomically(path, content)
    if encodings is not None:
        write_atomically(encodings, encodings_text(network))
        notes = (*notes, f"the grids are in {Path(encodings).name} as well")
    kind = "ONNX QDQ" if network.quantizers else "ONNX"
    operators = dict(sorted(Counter(node.op_type for node in model.graph).items()))
    record = Exported(str(written), kind, len(content), operators, notes, stage)
    network.history.append(record)
    return record


def onnx_model(network: Network, *, packed: bool = False) -> tuple[ir.Model, tuple[str, ...]]:
    """A network as an ONNX model in memory, and notes on how it was written.

    Raises:
        ExportError: as `export`.
    """
    model, bounds = trace(network)
    written = write_integers(model, network, bounds, packed=packed)
    RemoveUnusedNodesPass()(model)
    _tidy(model)
    return model, written.notes()


def _tidy(model: ir.Model) -> None:
    """Plain names, and nothing of the machine on which it was made."""
    model.producer_name, model.producer_version, model.doc_string = "microjoule", None, None
    model.opset_imports.pop(DOMAIN, None)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.name = "network"
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    outputs = model.graph.outputs
    for index, value in enumerate(outputs):
        if value.producer() is not None:
            value.name = "output" if len(outputs) == 1 else f"output_{index}"
    _name_batch(model)


def _name_batch(model: ir.Model) -> None:
    """Call the free dimension "batch", and not by the number of a symbol."""
    shapes = [value.shape for value in model.graph.inputs if value.shape is not None and len(value.shape)]
    symbols = {str(shape[0]) for shape in shapes if isinstance(shape[0], ir.SymbolicDim)}
    values = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *values):
        if value.shape is not None:
            value.shape = ir.Shape(["batch" if str(size) in symbols else size for size in value.shape])


def _bytes(model: ir.Model) -> bytes:
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    if size > LARGEST_BYTES:
        raise ExportError(
            "network",
            f"has {size / 2**30:.1f} GiB of weights, and one ONNX file holds 2",
            remedy="quantize its weights, or write it with network.save(path)",
        )
    content: bytes = ir.to_proto(model).SerializeToString()
    return content
