"""Plain names in an ONNX graph: those of the model for what goes in and comes out, and nothing of the machine."""

import itertools
import re
from collections.abc import Iterator, Mapping

import onnx_ir as ir

from microjoule.deploy.flat import Interface

PRODUCER = "microjoule"
BATCH = "batch"
"""The name of the free size that is the number of samples."""


def tidy(model: ir.Model, interface: Interface, metadata: Mapping[str, str]) -> None:
    """Give inputs, outputs and the free size their names, and leave away what the exporter noted, in place.

    Args:
        model: whose graph has the interface's inputs and outputs, in its order.
        interface: their names.
        metadata: what the file says of itself.
    """
    graph = model.graph
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, None, None
    model.opset_imports.pop(PRODUCER, None)
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    graph.metadata_props.clear()
    graph.name = "network"
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
    for value in _values(graph):
        value.metadata_props.clear()
    _own_outputs(graph)
    _name_interface(graph, interface)
    _name_batch(graph)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _own_outputs(graph: ir.Graph) -> None:
    """Let every output be made by a node, and be an output once: ONNX names an output by the value that it is."""
    seen: set[ir.Value] = set()
    for index, value in enumerate(graph.outputs):
        if value.producer() is None or value in seen:
            node = ir.node("Identity", [value])
            copy = node.outputs[0]
            copy.type, copy.shape = value.type, value.shape
            graph.append(node)
            graph.outputs[index] = copy
        seen.add(graph.outputs[index])


def _name_interface(graph: ir.Graph, interface: Interface) -> None:
    """Names of inputs and outputs come first; a value inside that has one of them gives way."""
    wanted = dict(zip((*graph.inputs, *graph.outputs), (*interface.inputs, *interface.outputs), strict=True))
    inner = [value for value in _values(graph) if value not in wanted]
    taken = {*wanted.values(), *(str(value.name) for value in inner)}
    for value in inner:
        if value.name in wanted.values():
            value.name = next(one for n in itertools.count(1) if (one := f"{value.name}_{n}") not in taken)
            taken.add(value.name)
    for value in wanted:  # in two steps, as an input may have the name that another is to get
        value.name = None
    for value, name in wanted.items():
        value.name = name


def _name_batch(graph: ir.Graph) -> None:
    """Call the free size "batch", and not by the number of a symbol."""
    shapes = [value.shape for value in graph.inputs if value.shape is not None and len(value.shape)]
    symbols = {str(shape[0]) for shape in shapes if isinstance(shape[0], ir.SymbolicDim)}
    pattern = re.compile("|".join(rf"\b{re.escape(symbol)}\b" for symbol in symbols)) if symbols else None
    for value in _values(graph):
        if value.shape is not None and pattern is not None:
            sizes = [pattern.sub(BATCH, str(s)) if isinstance(s, ir.SymbolicDim) else s for s in value.shape]
            value.shape = ir.Shape(sizes)
