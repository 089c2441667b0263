"""A network as an ONNX file with integers inside, which any runtime for ONNX runs as it is.

    mj.export(network, "model.onnx")

What the file computes is what the simulation computes: the same rounding on the same grids. Weights are stored as
integers, biases as integers of 32 bits. The integers of each quantized value `v` are called `v_quantized` in the file.
A network without quantizers is written in floating point. Before a file is written, ONNX Runtime runs it on the example
and its values are compared with the network's (`check`).
"""

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.deploy.check import check_file
from microjoule.deploy.encodings import encodings_text
from microjoule.deploy.flat import Interface
from microjoule.deploy.integer_share import integer_share
from microjoule.deploy.onnx_graph import write_integers
from microjoule.deploy.onnx_names import tidy
from microjoule.deploy.trace import OPSET, trace
from microjoule.errors import ExportError
from microjoule.graph.card import metadata as metadata_of
from microjoule.graph.network import Network, takes_network
from microjoule.records.facts import Placed
from microjoule.records.files import check_places, write_atomically
from microjoule.records.measured import Exported, IntegerShare
from microjoule.records.suffixes import ONNX, check_suffix

LARGEST_BYTES = 2**31 - 1
"""What one protobuf message, and so one ONNX file, can hold."""

SMALLEST_OPSET = 13
"""The first in which each channel can have its scale."""


@takes_network
def export(
    network: Network,
    path: str | Path,
    *,
    encodings: str | Path | None = None,
    packed: bool = False,
    target: str | Path | Target | None = None,
    metadata: Mapping[str, Any] | None = None,
    check: bool = True,
    stage: str = "",
) -> Exported:
    """Write a network as ONNX.

    Args:
        network: with calibrated quantizers, or none.
        path: of the file; it is written whole or not at all.
        encodings: where to write the grids as AIMET's encodings as well; None for nowhere.
        packed: hold weights of up to 4 bits in half a byte (INT4 of opset 21), not in a byte; few runtimes have
            integer kernels for it.
        target: whose opset the file has, by name or as a file or value; None for the one that the network was
            quantized for, or opset 21.
        metadata: what the file says of itself beside version, recipe and target: preprocessing, labels; a value that
            is no text is written as JSON.
        check: run the file in ONNX Runtime before it is written, and refuse one that computes something else than the
            network; it takes a few passes.
        stage: which network this is, for the report.

    Returns:
        The record, which the network's history gets as well.

    Raises:
        ExportError: for a quantizer without a range, an operator that ONNX has no words for, a file over 2 GiB, or one
            in which ONNX Runtime computes something else than the network; it names the operator.
        SettingError: for a name with the suffix of another kind of file.
        TargetError: for a target that is unknown, or a target's file that says something else.
        FileError: if a file cannot be written.
    """
    check_suffix(path, ONNX)
    check_places([path, encodings])
    opset = _opset(network) if target is None else find_target(target).opset
    model, found, notes = onnx_model(network, packed=packed, opset=opset, metadata=metadata)
    content = _bytes(model)
    share: IntegerShare | None = None
    if check:
        notes = (*notes, *check_file(content, network.copy().to("cpu").eval(), found, str(path)))
        share = integer_share(content) if network.quantizers else None
    texts = None if encodings is None else encodings_text(network)
    written = write_atomically(path, content)
    if encodings is not None and texts is not None:
        write_atomically(encodings, texts)
        notes = (*notes, f"the grids are in {Path(encodings).name} as well")
    kind = "ONNX QDQ" if network.quantizers else "ONNX"
    operators = dict(sorted(Counter(node.op_type for node in model.graph).items()))
    record = Exported(str(written), kind, len(content), operators, notes, stage, share)
    network.history.append(record)
    return record


def onnx_model(
    network: Network, *, packed: bool = False, opset: int = OPSET, metadata: Mapping[str, Any] | None = None
) -> tuple[ir.Model, Interface, tuple[str, ...]]:
    """A network as an ONNX model in memory, what goes in and comes out, and notes on how it was written.

    Raises:
        ExportError: as `export`.
    """
    _check_opset(network, opset, packed=packed)
    traced = trace(network, opset=opset)
    written = write_integers(traced.model, network, traced.bounds, packed=packed)
    RemoveUnusedNodesPass()(traced.model)
    tidy(traced.model, traced.interface, _metadata(network, metadata or {}))
    notes = list(written.notes())
    if traced.replaced:
        notes.append(f"{', '.join(traced.replaced)} are written by other operators, which compute the same")
    notes += [
        f"output {name} is {what} and no tensor, so it is not in the file" for name, what in traced.interface.left_out
    ]
    return traced.model, traced.interface, tuple(notes)


def _opset(network: Network) -> int:
    """That of the target which a network was quantized for, if it is known."""
    known = [record.opset for record in network.history if isinstance(record, Placed) and record.opset is not None]
    return known[-1] if known and network.quantizers else OPSET


def _check_opset(network: Network, opset: int, *, packed: bool) -> None:
    if opset < SMALLEST_OPSET:
        fact = f"is opset {opset}, and scales of channels need {SMALLEST_OPSET}"
        raise ExportError("target", fact, remedy=f"choose a target with opset {SMALLEST_OPSET} to 24")
    layers = {layer.path: layer.quantizer for layer in network.layers if layer.quantizer is not None}
    wide = [name for name, quantizer in {**network.quantizers, **layers}.items() if quantizer.scheme.grid.bits > 8]
    if opset < OPSET and (wide or packed):
        place = wide[0] if wide else "packed"
        fact = f"needs opset {OPSET}, which has integers of {'16' if wide else '4'} bits, and the target has {opset}"
        raise ExportError(place, fact, remedy="choose a target with a newer opset, or 8 bits")


def _metadata(network: Network, given: Mapping[str, Any]) -> dict[str, str]:
    """What the file says of itself: the version that wrote it, target, the card with the recipe, and what was given."""
    placed = [record.target for record in network.history if isinstance(record, Placed)]
    card = metadata_of(network)
    found = {"microjoule": card.pop("version", version("microjoule")), **card}
    found |= {"target": placed[-1]} if placed else {}
    texts = {**found, **given}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}


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
