"""A marked ONNX graph (see `trace`) to one with integers inside, in the patterns that integer runtimes look for."""

from collections import Counter
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from microjoule.deploy.activation_bounds import Bounds
from microjoule.deploy.integer_layer import IntegerLayer, integer_layer, integer_weight
from microjoule.deploy.kernel_faults import avoid_faults, keep_weights
from microjoule.deploy.qdq import Grid, Writer
from microjoule.deploy.trace import DOMAIN, VALUE, WEIGHT
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer

INNER = "inner"
"""Marks the second mark of a value that is rounded twice to the same grid, with a change of shape in between."""

WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm"))
PASSING = frozenset(
    (
        *("MaxPool", "Reshape", "Flatten", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze"),
        *("Pad", "Expand", "DepthToSpace", "Resize", "Gather", "Identity"),
    )
)
"""Operators whose output needs no rounding: its values are those of the input."""


@dataclass
class Written:
    """What was done, for the record."""

    clamps: int = 0
    biases: int = 0
    coarsened: int = 0
    repeated: int = 0
    means: int = 0
    kept: int = 0
    in_floats: Counter[str] = field(default_factory=Counter)
    grids: dict[ir.Value, Grid] = field(default_factory=dict)

    def notes(self) -> tuple[str, ...]:
        """In words, what did happen."""
        said = {
            f"{self.clamps} activations are bounds of their quantizer's integers": self.clamps,
            f"{self.biases} biases are integers of 32 bits": self.biases,
            f"{self.coarsened} channels have a larger weight scale, since their bias needs it": self.coarsened,
            f"{self.repeated} values that keep their input's scale say so with quantizers of their own": self.repeated,
            f"{self.means} means over the image are global average pooling": self.means,
            f"{self.kept} layers in floating point are kept from ONNX Runtime's rounding of their weights": self.kept,
        }
        faults = (
            f"{count} {kind} are in floating point, since ONNX Runtime's integer kernel does not take their grids"
            for kind, count in self.in_floats.items()
        )
        return (*(note for note, count in said.items() if count), *faults)


def write_integers(
    model: ir.Model, network: Network, bounds: dict[str, Bounds | None], *, packed: bool = False
) -> Written:
    """Replace every mark by integers, in place."""
    edit = _Edit(model, network, bounds, packed=packed)
    edit.pool_means()
    for node in list(model.graph):
        if node.domain == DOMAIN and node.op_type == VALUE:
            edit.value(node)
        elif node.op_type in PASSING:
            edit.passing(node)
    for node in list(model.graph):
        if node.op_type in WEIGHTED:
            edit.weighted(node)
    for node in list(model.graph):
        if node.domain == DOMAIN and node.op_type == WEIGHT:
            edit.weight(node)
    edit.written.in_floats = Counter(avoid_faults(model.graph, edit.written.grids, edit.writer))
    edit.written.kept = keep_weights(model.graph, edit.written.grids, edit.writer)
    return edit.written


class _Edit:
    """The edits of one graph."""

    def __init__(self, model: ir.Model, network: Network, bounds: dict[str, Bounds | None], *, packed: bool) -> None:
        self.graph = model.graph
        self.network = network
        self.layers = {layer.path: layer for layer in network.layers}
        self.quantizers = network.quantizers
        self.bounds = bounds
        self.packed = packed
        self.writer = Writer(model.graph)
        self.written = Written(clamps=len([b for b in bounds.values() if b is not None]))

    def value(self, node: ir.Node) -> None:
        """A marked value: round it to its grid."""
        x, name = _read(node, 0), _name(node)
        grid = self.writer.grid(name, self.quantizers[name].affine)
        called = f"{name}_pooled" if INNER in node.attributes else name
        rounded = self.writer.quantize(x, called, grid, self.bounds[name], at=node)
        self._replace(node, rounded)
        self.written.grids[rounded] = grid

    def passing(self, node: ir.Node) -> None:
        """An operator that keeps the scale: say so, as runtimes look for integers on both sides of it."""
        grid = self.written.grids.get(_read(node, 0)) if node.inputs and node.inputs[0] is not None else None
        if grid is None or grid.affine.scheme.axis is not None:
            return
        if (node.op_type == "Pad" and not _pads_zeros(node)) or (node.op_type == "Resize" and not _nearest(node)):
            return
        for output in node.outputs:
            if not output.uses() or all(user.domain == DOMAIN for user, _ in output.uses()):
                continue
            rounded = self._round_again(output, grid)
            self.written.grids[rounded] = grid
            self.written.repeated += 1

    def _round_again(self, output: ir.Value, grid: Grid) -> ir.Value:
        """QuantizeLinear and DequantizeLinear of a grid that the value is on already."""
        made_by = output.producer()
        assert made_by is not None
        users = list(output.uses())
        inputs: list[ir.Value | None] = [output, grid.scale, grid.zero_point]
        quantize = ir.node("QuantizeLinear", inputs)
        integers = quantize.outputs[0]
        integers.name = f"{output.name}_integers"
        dequantize = ir.node("DequantizeLinear", [integers, grid.scale, grid.zero_point])
        dequantize.outputs[0].name = f"{output.name}_value"
        dequantize.outputs[0].type, dequantize.outputs[0].shape = output.type, output.shape
        self.graph.insert_after(made_by, [quantize, dequantize])
        for user, index in users:
            user.replace_input_with(index, dequantize.outputs[0])
        return dequantize.outputs[0]

    def weighted(self, node: ir.Node) -> None:
        """A layer on integers: its weight, and its bias at the scale of the sum."""
        mark, grid = node.inputs[1].producer() if node.inputs[1] is not None else None, None
        if mark is None or mark.domain != DOMAIN:
            return
        layer, grid = self.layers[_name(mark)], self.written.grids.get(_read(node, 0))
        if grid is None or grid.affine.scale.dim() != 0:
            return
        integers = integer_layer(layer, grid.affine.scale)
        weight = self.writer.weight(f"{_stored(layer)}", integers.weight, integers.affine, at=node, packed=self.packed)
        node.replace_input_with(1, weight)
        self._bias(node, layer, integers)

    def _bias(self, node: ir.Node, layer: Layer, integers: IntegerLayer) -> None:
        if integers.bias is None or len(node.inputs) < 3 or node.inputs[2] is None:
            return
        path = f"{layer.path.removesuffix('.' + layer.weight_name)}.{layer.bias_name}"
        node.replace_input_with(2, self.writer.bias(path, integers.bias, integers.scale, at=node))
        self.written.biases += 1
        self.written.coarsened += integers.coarsened

    def weight(self, node: ir.Node) -> None:
        """A marked weight whose reader is no layer on integers: a matrix product, or a layer that reads reals."""
        layer = self.layers[_name(node)]
        integers, affine = integer_weight(layer)
        users = [user for user, _ in node.outputs[0].uses()]
        turned = len(users) == 1 and users[0].op_type == "Transpose" and integers.dim() == 2
        if turned:  # as a matrix product has it, where integer kernels look for the integers themselves
            axis = None if affine.scheme.axis is None else 1 - affine.scheme.axis
            integers, affine = integers.T, replace(affine, scheme=replace(affine.scheme, axis=axis))
        value = self.writer.weight(_stored(layer), integers, affine, at=node, packed=self.packed)
        self._replace(users[0] if turned else node, value)
        if turned:
            self.graph.remove(node, safe=True)

    def pool_means(self) -> None:
        """Means over height and width as GlobalAveragePool, which has an integer kernel."""
        for node in list(self.graph):
            x = node.inputs[0] if node.inputs else None
            if node.op_type != "ReduceMean" or x is None or x.shape is None or len(x.shape) != 4:
                continue
            if sorted(axis % 4 for axis in _axes(node)) != [2, 3]:
                continue
            self._pool(node, x)
            self.written.means += 1

    def _pool(self, node: ir.Node, x: ir.Value) -> None:
        keeps = node.attributes["keepdims"].as_int() if "keepdims" in node.attributes else 1
        pooled = self.writer.add("GlobalAveragePool", [x], f"{node.outputs[0].name}_pooled", at=node)
        if x.shape is not None:
            pooled.shape, pooled.type = ir.Shape([x.shape[0], x.shape[1], 1, 1]), x.type
        users = [user for user, _ in node.outputs[0].uses()]
        if keeps:
            self._replace(node, pooled)
            return
        if len(users) == 1 and users[0].domain == DOMAIN:  # on its grid before it is flattened, for an integer kernel
            inner = ir.node(VALUE, [pooled], domain=DOMAIN, attributes={"name": _name(users[0]), INNER: 1})
            self.graph.insert_before(node, inner)
            pooled = inner.outputs[0]
        self._replace(node, self.writer.add("Flatten", [pooled], f"{node.outputs[0].name}_flat", at=node, axis=1))

    def _replace(self, node: ir.Node, value: ir.Value) -> None:
        value.type, value.shape = node.outputs[0].type, node.outputs[0].shape
        node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)


def _stored(layer: Layer) -> str:
    """The name of a layer's weight in the state dict."""
    return f"{layer.path}.weight" if layer.node.op == "call_module" else layer.path


def _read(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _name(mark: ir.Node) -> str:
    return mark.attributes["name"].as_string()


def _axes(node: ir.Node) -> list[int]:
    """Over which axes a node reduces, if that is known; before opset 18 it is an attribute."""
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    axes = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    return [] if axes is None else [int(axis) for axis in axes.numpy()]


def _pads_zeros(node: ir.Node) -> bool:
    fill = node.inputs[2].const_value if len(node.inputs) > 2 and node.inputs[2] is not None else None
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
    return mode != "constant" or fill is None or float(fill.numpy()) == 0.0


def _nearest(node: ir.Node) -> bool:
    return "mode" not in node.attributes or node.attributes["mode"].as_string() == "nearest"
