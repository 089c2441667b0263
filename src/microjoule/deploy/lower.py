"""Operators that torch's exporter to ONNX writes wrongly or not at all, by others that it writes rightly.

Each replacement computes the same; the file is checked against the network all the same (`check`). What ONNX has no
words for and no replacement here is refused by the exporter, and what it writes wrongly by the check.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.graph.geometry import window_sizes
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import FUNCTION_KINDS, arguments, aten
from microjoule.graph.shapes import Shape, shapes

CONSTANTS = "lowered"
"""Where the numbers of replacements are stored, each at the name of the node that was there."""

ROWS_AT_ONCE = 16
"""Of a matrix that is found by running an operator on its rows."""


@dataclass(frozen=True, slots=True)
class Site:
    """A node that may be replaced.

    Args:
        network: that it is in.
        node: a functional operator.
        shapes: of the values that are tensors.
    """

    network: Network
    node: Node
    shapes: dict[Node, Shape]

    @property
    def args(self) -> dict[str, Any]:
        """Its arguments by name."""
        return arguments(self.node)

    def call(self, target: Any, *args: Any) -> Node:
        """A node before it."""
        with self.network.graph.inserting_before(self.node):
            made = self.network.graph.call_function(target, args)
        made.meta = {key: value for key, value in self.node.meta.items() if key == "stack_trace"}
        return made

    def constant(self, values: Tensor) -> Node:
        """A stored tensor, read before it.

        Args:
            values: any shape.
        """
        path = f"{CONSTANTS}.{self.node.name}"
        if not any(name == path for name, _ in self.network.module.named_modules()):
            set_submodule(self.network.module, path, nn.Module())
        holder = self.network.module.get_submodule(path)
        name = f"constant{len(list(holder.buffers(recurse=False)))}"
        holder.register_buffer(name, values)
        with self.network.graph.inserting_before(self.node):
            return self.network.graph.get_attr(f"{path}.{name}")


Made = Node | tuple[Node, ...] | None
"""What stands in an operator's place: a value, the first of its several values, or None to leave it."""


def lower(network: Network) -> tuple[str, ...]:
    """Replace operators, in place; the network computes the same after.

    Returns:
        Which, by name, each once.
    """
    known = shapes(network)
    replaced: dict[str, None] = {}
    for node in list(network.graph.nodes):
        lowering = LOWERINGS.get(node.target) if node.op == "call_function" else None
        made = None if lowering is None else lowering(Site(network, node, known))
        if made is None:
            continue
        replaced[FUNCTION_KINDS.get(node.target, str(node.target))] = None
        known |= {new: known[old] for old, new in _replace(network, node, made) if old in known}
    network.recompile()
    return tuple(replaced)


def _replace(network: Network, node: Node, made: Node | tuple[Node, ...]) -> list[tuple[Node, Node]]:
    """Let what was made be read in a node's place; gives the pairs of old and new."""
    pairs = [(node, made)] if isinstance(made, Node) else [(user, made[_index(user)]) for user in node.users]
    for old, new in pairs:
        old.replace_all_uses_with(new)
        network.graph.erase_node(old)
    if not isinstance(made, Node):
        network.graph.erase_node(node)
    return pairs


def _index(user: Node) -> int:
    """Which of several values a node picks."""
    index: Any = user.args[1]
    return int(index)


def _reads_first_alone(node: Node) -> bool:
    """Whether of several values only the first is read."""
    return all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)


# Pooling --------------------------------------------------------------------------------------------------------------

AVERAGES = {1: aten.avg_pool1d.default, 2: aten.avg_pool2d.default, 3: aten.avg_pool3d.default}


def _average(axes: int) -> Callable[[Site], Made]:
    """An average over whole windows, with the zeros that fill them, times what makes it that of the values inside.

    torch's exporter leaves away `divisor_override`, and ONNX Runtime's integer kernel divides windows that reach
    beyond the padding (`ceil_mode`) by another number than its kernel for real numbers.
    """

    def average(site: Site) -> Made:
        args, shape = site.args, site.shapes[args_input(site)]
        size, made = shape[-axes:], site.shapes[site.node][-axes:]
        kernel, padding = (_per_axis(args[name], axes) for name in ("kernel_size", "padding"))
        stride = _per_axis(args["stride"] or kernel, axes)
        ends = [(out - 1) * step + length for out, step, length in zip(made, stride, kernel, strict=True)]
        reaches = any(end > n + 2 * pad for end, n, pad in zip(ends, size, padding, strict=True))
        if not reaches and not args.get("divisor_override"):
            return None
        pads = [(pad, max(end - n - pad, 0)) for end, n, pad in zip(ends, size, padding, strict=True)]
        flat = [side for pair in reversed(pads) for side in pair]
        x = args["self"]
        if any(flat):
            x = site.call(aten.constant_pad_nd.default, x, flat, 0)
        pooled = site.call(AVERAGES[axes], x, list(kernel), list(stride))
        counts = window_sizes(site.node, torch.Size((1, 1, *size)), torch.Size((1, 1, *made)))
        factor = (math.prod(kernel) / counts).float()
        if bool((factor == 1).all()):
            return pooled
        one = bool((factor == factor.flatten()[0]).all())
        return site.call(aten.mul.Tensor, pooled, float(factor.flatten()[0]) if one else site.constant(factor))

    return average


def args_input(site: Site) -> Node:
    """The tensor that an operator reads first."""
    source: Node = site.node.all_input_nodes[0]
    return source


def _per_axis(values: Any, axes: int) -> tuple[int, ...]:
    given = (values,) if isinstance(values, int) else tuple(values)
    return given * axes if len(given) == 1 else given


def _adaptive_maximum(axes: int) -> Callable[[Site], Made]:
    """The largest value of each window, axis by axis; windows differ in length."""

    def maximum(site: Site) -> Made:
        if not _reads_first_alone(site.node):
            return None
        x, shape = args_input(site), site.shapes[args_input(site)]
        for axis, outputs in zip(range(-axes, 0), _per_axis(site.args["output_size"], axes), strict=True):
            size = shape[axis]
            cuts = [(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]
            parts = [site.call(aten.slice.Tensor, x, axis, start, end) for start, end in cuts]
            x = site.call(aten.stack.default, [site.call(aten.amax.default, part, [axis]) for part in parts], axis)
        return (x,)

    return maximum


# Values ---------------------------------------------------------------------------------------------------------------


def _clamp(site: Site) -> Made:
    """Both bounds as real numbers, where the exporter finds no operator for one of each kind."""
    args = site.args
    bounds = args["min"], args["max"]
    if len({type(bound) for bound in bounds if bound is not None}) < 2:
        return None
    return site.call(aten.clamp.default, args["self"], *(None if bound is None else float(bound) for bound in bounds))


def _extreme(site: Site) -> Made:
    """Over all axes, where none is named."""
    args, rank = site.args, len(site.shapes[args_input(site)])
    if args["dim"] or rank == 0:
        return None
    target: Any = site.node.target
    return site.call(target, args["self"], list(range(rank)), args["keepdim"])


def _place_of_all(site: Site) -> Made:
    """Where the extreme of all values lies, with the axes that it has none of."""
    args, rank = site.args, len(site.shapes[args_input(site)])
    if args["dim"] is not None or not args["keepdim"]:
        return None
    target: Any = site.node.target
    return site.call(aten.reshape.default, site.call(target, args["self"]), [1] * rank)


def _squeeze(site: Site) -> Made:
    """Of the axes that are named those with one entry, as torch does it; ONNX takes no others."""
    args, shape = site.args, site.shapes[args_input(site)]
    named = [args["dim"]] if isinstance(args["dim"], int) else list(args["dim"])
    ones = [axis for axis in named if shape[axis] == 1]
    if len(ones) == len(named):
        return None
    x: Node = args["self"]
    return site.call(aten.squeeze.dims, x, ones) if ones else x


# Resampling -----------------------------------------------------------------------------------------------------------


def _by_matrices(axes: int) -> Callable[[Site], Made]:
    """A linear operator that works on each axis alone, as a product with a matrix for each axis."""

    def product(site: Site) -> Made:
        x, shape = args_input(site), site.shapes[args_input(site)]
        matrices = [_matrix(site, shape[-axes:], axis) for axis in range(axes)]
        for axis, matrix in zip(range(-axes, 0), matrices, strict=True):
            turned = x if axis == -1 else site.call(aten.transpose.int, x, axis, -1)
            made = site.call(aten.matmul.default, turned, site.constant(matrix))
            x = made if axis == -1 else site.call(aten.transpose.int, made, axis, -1)
        return x

    return product


def _matrix(site: Site, size: Sequence[int], axis: int) -> Tensor:
    """What an operator makes along an axis of each unit vector, (inputs, outputs)."""
    rest: dict[str, Any] = {name: value for name, value in site.args.items() if not isinstance(value, Node)}
    target: Any = site.node.target
    rows = []
    for start in range(0, size[axis], ROWS_AT_ONCE):
        unit = torch.eye(size[axis])[start : start + ROWS_AT_ONCE]
        shape = [len(unit), 1, *(size[axis] if one == axis else 1 for one in range(len(size)))]
        wide = unit.reshape(shape).expand(-1, -1, *size)
        made = target(wide.contiguous(), **rest)
        rows.append(made.movedim(2 + axis, -1).reshape(len(unit), -1, made.shape[2 + axis])[:, 0])
    return torch.cat(rows)


# Distances ------------------------------------------------------------------------------------------------------------


def _distances(site: Site) -> Made:
    """Distances of all pairs of rows, from their differences."""
    args = site.args
    a, b = (site.call(aten.unsqueeze.default, args[name], dim) for name, dim in (("x1", -2), ("x2", -3)))
    apart = site.call(aten.sub.Tensor, a, b)
    if args["p"] == 1:
        return site.call(aten.sum.dim_IntList, site.call(aten.abs.default, apart), [-1])
    if args["p"] != 2:
        return None
    return site.call(aten.sqrt.default, site.call(aten.sum.dim_IntList, site.call(aten.mul.Tensor, apart, apart), [-1]))


def _for(targets: Iterable[Any], lowering: Callable[[Site], Made]) -> dict[Any, Callable[[Site], Made]]:
    return dict.fromkeys(targets, lowering)


def _put_into(site: Site) -> Made:
    """What is put into a slice lies between what is before and after it: torch's file for ONNX may not run."""
    args, known = site.args, site.shapes[args_input(site)]
    start, end, dim = (args[name] for name in ("start", "end", "dim"))
    if args["step"] != 1 or not all(isinstance(place, int | None) for place in (start, end)):
        return None
    start, end, _ = slice(start, end).indices(known[dim])
    if start == 0 and end == known[dim] and site.shapes[args["src"]] == known:
        made: Node = args["src"]
        return made
    if dim % len(known) == 0 or start >= end:
        return None
    ends = [
        site.call(aten.slice.Tensor, args["self"], dim, *ends)
        for ends in ((0, start), (end, known[dim]))
        if ends[0] < ends[1]
    ]
    parts = [*ends[:1], args["src"], *ends[1:]] if start else [args["src"], *ends]
    return site.call(aten.cat.default, parts, dim)


LOWERINGS: dict[Any, Callable[[Site], Made]] = {
    **{target: _average(axes) for axes, target in AVERAGES.items()},
    aten.adaptive_max_pool1d.default: _adaptive_maximum(1),
    aten.adaptive_max_pool2d.default: _adaptive_maximum(2),
    aten.adaptive_max_pool3d.default: _adaptive_maximum(3),
    aten.adaptive_avg_pool3d.default: _by_matrices(3),
    **_for((aten._upsample_bilinear2d_aa.vec, aten._upsample_bicubic2d_aa.vec), _by_matrices(2)),
    aten.cdist.default: _distances,
    **_for((aten.squeeze.dim, aten.squeeze.dims), _squeeze),
    aten.clamp.default: _clamp,
    **_for((aten.amax.default, aten.amin.default), _extreme),
    **_for((aten.argmax.default, aten.argmin.default), _place_of_all),
    aten.slice_scatter.default: _put_into,
}
"""By operator, what takes its place."""
