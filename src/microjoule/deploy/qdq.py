"""Quantizers as ONNX has them: a QuantizeLinear and a DequantizeLinear around integers (QDQ).

QuantizeLinear divides by the scale and rounds half to even, as the simulation does. Grids narrower than the type that
holds them get their bounds from integer operators between the two, so that the operator before still becomes one on
integers.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from microjoule.deploy.activation_bounds import Bounds
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid

STORED = {
    (8, True): ir.DataType.INT8,
    (8, False): ir.DataType.UINT8,
    (16, True): ir.DataType.INT16,
    (16, False): ir.DataType.UINT16,
}
QUANTIZED = "_quantized"
"""Ends the name of a value's integers in the file."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The scale and zero point of a value in a file."""

    scale: ir.Value
    zero_point: ir.Value
    affine: Affine


def stored_type(grid: IntGrid) -> ir.DataType:
    """The ONNX type that holds a grid's integers."""
    return STORED[8 if grid.bits <= 8 else 16, grid.signed]


def type_ends(kind: ir.DataType) -> tuple[int, int]:
    """The smallest and the largest integer of a type."""
    ends = np.iinfo(kind.numpy())
    return int(ends.min), int(ends.max)


class Writer:
    """Adds nodes and stored tensors to a graph.

    Args:
        graph: which it edits.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph

    def store(self, name: str, values: Tensor, kind: ir.DataType) -> ir.Value:
        """A stored tensor; one of the same name and values is used again.

        Args:
            name: what it is called; a number is added where other values have that name.
            values: any shape.
            kind: the type that it is stored as.
        """
        array = _array(values, kind)
        chosen, tries = name, 0
        while chosen in self.graph.initializers:
            there = self.graph.initializers[chosen]
            held = there.const_value
            if held is not None and held.dtype == kind and np.array_equal(held.numpy(), array):
                return there
            tries += 1
            chosen = f"{name}_{tries}"
        tensor = ir.Tensor(array, dtype=kind, name=chosen)
        value = ir.Value(name=chosen, type=ir.TensorType(kind), shape=ir.Shape(array.shape), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def add(
        self, op: str, inputs: list[ir.Value | None], name: str, *, at: ir.Node, **attributes: int | list[int]
    ) -> ir.Value:
        """A node before another one, with one output of a name."""
        node = ir.node(op, inputs, attributes=attributes or None)
        node.outputs[0].name = name
        self.graph.insert_before(at, node)
        return node.outputs[0]

    def grid(self, name: str, affine: Affine) -> Grid:
        """Store the scale and zero point of an activation."""
        scale = self.store(f"{name}_scale", affine.scale, ir.DataType.FLOAT)
        return Grid(scale, self.store(f"{name}_zero_point", affine.zero_point, stored_type(affine.grid)), affine)

    def quantize(self, x: ir.Value, name: str, grid: Grid, bounds: Bounds | None, *, at: ir.Node) -> ir.Value:
        """Put a value on its grid: QuantizeLinear, bounds, DequantizeLinear; the integers are `<name>_quantized`.

        Args:
            x: in floating point.
            name: of the value.
            grid: its grid.
            bounds: the smallest and the largest integer, where a clamp has others than the grid.
            at: the node before which it is done.

        Returns:
            The value in floating point.
        """
        axis = _axis(grid.affine)
        ends = type_ends(stored_type(grid.affine.grid))
        low, high = _ends(grid.affine.grid) if bounds is None else (bounds.low, bounds.high)
        quantized = f"{name}{QUANTIZED}"
        if all(bool((bound == end).all()) for bound, end in zip((low, high), ends, strict=True)):
            integers = self.add("QuantizeLinear", [x, grid.scale, grid.zero_point], quantized, at=at, **axis)
        elif grid.affine.grid.bits > 8:
            limited = self._limit_reals(x, name, (low, high), grid, at=at)
            integers = self.add("QuantizeLinear", [limited, grid.scale, grid.zero_point], quantized, at=at, **axis)
        else:
            rounded = self.add("QuantizeLinear", [x, grid.scale, grid.zero_point], f"{name}_rounded", at=at, **axis)
            integers = self._limit_integers(rounded, quantized, (low, high), stored_type(grid.affine.grid), at=at)
        return self.add("DequantizeLinear", [integers, grid.scale, grid.zero_point], f"{name}_value", at=at, **axis)

    def _limit_integers(
        self, x: ir.Value, name: str, bounds: tuple[Tensor, Tensor], kind: ir.DataType, *, at: ir.Node
    ) -> ir.Value:
        low, high = bounds
        if low.numel() == high.numel() == 1:
            ends = [self.store(f"{name}_{end}", v.reshape(()), kind) for end, v in (("low", low), ("high", high))]
            return self.add("Clip", [x, *ends], name, at=at)
        floor, ceiling = type_ends(kind)
        if bool((low > floor).any()):
            above = name if bool((high >= ceiling).all()) else f"{name}_above"
            x = self.add("Max", [x, self.store(f"{name}_low", low, kind)], above, at=at)
        return self.add("Min", [x, self.store(f"{name}_high", high, kind)], name, at=at) if x.name != name else x

    def _limit_reals(
        self, x: ir.Value, name: str, bounds: tuple[Tensor, Tensor], grid: Grid, *, at: ir.Node
    ) -> ir.Value:
        """The bounds in floating point: ONNX Runtime has no Min, Max or Clip on 16-bit integers.

        A bound is a whole number of steps, and float32 is exact enough to find that number again after the division.
        One bound for all channels is a Clip of rounded values, which an integer target takes as an operator on the
        grid; bounds of each channel's own come before the rounding.
        """
        scale, zero_point = grid.affine.scale, grid.affine.zero_point
        low, high = (
            self.store(f"{name}_{end}", (bound - zero_point).float() * scale, ir.DataType.FLOAT)
            for end, bound in zip(("low", "high"), bounds, strict=True)
        )
        if bounds[0].numel() == bounds[1].numel() == 1:
            pair, axis = [grid.scale, grid.zero_point], _axis(grid.affine)
            rounded = self.add("QuantizeLinear", [x, *pair], f"{name}_rounded", at=at, **axis)
            value = self.add("DequantizeLinear", [rounded, *pair], f"{name}_unlimited", at=at, **axis)
            return self.add("Clip", [value, low, high], f"{name}_limited", at=at)
        return self.add("Min", [self.add("Max", [x, low], f"{name}_above", at=at), high], f"{name}_limited", at=at)

    def weight(self, name: str, integers: Tensor, affine: Affine, *, at: ir.Node, packed: bool = False) -> ir.Value:
        """Store a weight as integers, and give it back in floating point.

        Args:
            name: the path of its layer, with "weight" or "bias".
            integers: any shape, int32.
            affine: its grid.
            at: the node before which it is done.
            packed: hold up to 4 bits in half a byte.
        """
        kind = stored_type(affine.grid)
        if packed and affine.grid.bits <= 4:
            kind = ir.DataType.INT4 if affine.grid.signed else ir.DataType.UINT4
        stored = self.store(f"{name}{QUANTIZED}", integers, kind)
        scale = self.store(f"{name}_scale", affine.scale, ir.DataType.FLOAT)
        inputs: list[ir.Value | None] = [stored, scale]
        # ONNX lets a zero point of 0 be left out; ONNX Runtime makes an integer Conv then all the same, but no Gemm,
        # and Hexagon reads weights of half a byte without one as if theirs were another.
        if at.op_type != "Conv" or kind.bitwidth < 8 or bool((affine.zero_point != 0).any()):
            inputs.append(self.store(f"{name}_zero_point", affine.zero_point, kind))
        return self.add("DequantizeLinear", inputs, self.free(f"{name}_value"), at=at, **_axis(affine))

    def bias(self, name: str, integers: Tensor, scale: Tensor, *, at: ir.Node) -> ir.Value:
        """Store a bias as int32, and give it back in floating point.

        Args:
            name: the path of its layer, with "bias".
            integers: (out_channels,), int32.
            scale: () or (out_channels,).
            at: the node before which it is done.
        """
        stored = self.store(f"{name}{QUANTIZED}", integers, ir.DataType.INT32)
        stored_scale = self.store(f"{name}_scale", scale, ir.DataType.FLOAT)
        axis = {"axis": 0} if scale.dim() == 1 else {}
        inputs: list[ir.Value | None] = [stored, stored_scale]
        return self.add("DequantizeLinear", inputs, self.free(f"{name}_value"), at=at, **axis)

    def free(self, name: str) -> str:
        """A name that no node's output has yet."""
        taken = {output.name for node in self.graph for output in node.outputs}
        chosen, tries = name, 0
        while chosen in taken:
            tries += 1
            chosen = f"{name}_{tries}"
        return chosen


def _axis(affine: Affine) -> dict[str, int]:
    return {} if affine.scheme.axis is None else {"axis": affine.scheme.axis}


def _ends(grid: IntGrid) -> tuple[Tensor, Tensor]:
    return torch.tensor(grid.qmin), torch.tensor(grid.qmax)


def _array(values: Tensor, kind: ir.DataType) -> np.ndarray:
    return values.detach().cpu().numpy().astype(kind.numpy())
