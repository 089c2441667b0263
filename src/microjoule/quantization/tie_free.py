"""Scales that no result falls half way between two integers: every runtime then rounds to the same ones.

A layer adds up integers, A, and rounds A s_x s_w / s_y. Runtimes do that in float32 or in fixed point, in one step or
in two, to even or away from zero, and agree unless the value lies within their error of a half. One in some ten
thousand does, and each such step apart changes what follows.

Let M = s_x s_w / s_y be a fraction a / b with an odd b. A a / b = n + 1/2 would ask 2 A a = b (2n + 1), even equal to
odd: no value is a half, nor nearer to one than 1 / 2b. With 1 / 2b far above the error of float32 the result is the
same whatever a runtime does. The same holds for sums (A_1 a_1 + A_2 a_2) / b, if one b serves all terms, and for
averages of n values, if M / n is the fraction. Scales move by at most `TOLERANCE`, less than a step at the end of a
range of 8 bits. Values of 16 bits are so large that float32's error reaches 1 / 2b, so ties remain there, and a range
that is shorter by 1/256 would cost them 40 dB: their scales, and those of weights of 16 bits, stay as they are.

This way of choosing scales is microjoule's own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.activation import Activation
from microjoule.graph.geometry import window_sizes
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer, arguments, kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import calls, grid_under, quantized
from microjoule.numerics.affine import Affine
from microjoule.quantization.bias_grid import make_room_for_biases
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.range_setting import quantizer_nodes
from microjoule.records.facts import Skipped
from microjoule.records.rounded import TiesAvoided

TOLERANCE = 1 / 256
"""How far a scale may move, as a share of it: on a grid of 8 bits by half a step at the end of the range."""

WIDEST = 8
"""Bits of the widest grid whose scale is moved."""

LARGEST = 2**17
"""No denominator is larger: the error of float32 at 255 steps, 2^-16, is then above 1 / 2b, so a fraction helps nobody.

A search over odd numbers up to here ends after 2^16 of them. A row has a fraction with b at most
1 / (2 tolerance r), where rounding r b is within the tolerance for every numerator."""

TOO_SMALL = "are so small beside its output's that no fraction keeps float32 away from a half"

AT_ONCE = 2**14
"""Fractions that are tried together."""

PRODUCTS = ("mul", "matmul")
TWO_OPERANDS = ("add", "sub", *PRODUCTS)

# The equation ---------------------------------------------------------------------------------------------------------


def odd_fraction(ratios: Tensor, tolerance: float = TOLERANCE) -> tuple[Tensor, Tensor]:
    """The simplest fractions a / b with one odd b that lie within a tolerance of some ratios.

    Every numerator is at least 1, so b is at least 1 / (r (1 + tolerance)) for the smallest ratio r of a row: the
    search starts there, and ends at `LARGEST`.

    Args:
        ratios: (*, n), > 0; the n of a row share their denominator.
        tolerance: relative.

    Returns:
        numerators (*, n) and denominators (*, 1), whole numbers in float64; 0 in rows without a fraction.
    """
    rows = ratios.double().reshape(-1, ratios.shape[-1])
    start = _odd_from(1 / (rows.amin(1) * (1 + tolerance)))
    denominators, numerators = torch.zeros_like(rows[:, :1]), torch.zeros_like(rows)
    open_rows = (start <= LARGEST).nonzero().squeeze(1)
    while len(open_rows):
        some = max(1, AT_ONCE // (len(open_rows) * rows.shape[1]))
        b = start[open_rows, None] + 2 * torch.arange(some, dtype=start.dtype, device=start.device)
        r = rows[open_rows, None]
        a = torch.round(r * b[..., None])
        fits = ((a / b[..., None] - r).abs() <= tolerance * r).all(2) & (b <= LARGEST)
        found, first = fits.any(1), fits.int().argmax(1, keepdim=True)
        denominators[open_rows[found]] = b.gather(1, first)[found]
        numerators[open_rows[found]] = a.take_along_dim(first[..., None], 1).squeeze(1)[found]
        start[open_rows] = b[:, -1] + 2
        open_rows = open_rows[~found & (b[:, -1] + 2 <= LARGEST)]
    return numerators.reshape(ratios.shape), denominators.reshape(*ratios.shape[:-1], 1)


def _odd_from(x: Tensor) -> Tensor:
    """The smallest odd number that is not below."""
    return 2 * torch.ceil((x - 1) / 2) + 1


# Applying it ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sum:
    """An operator whose result is a sum of integers times scales, to be rounded to a grid.

    Args:
        place: its name.
        terms: for each term the grids whose scales are multiplied.
        divisor: of the sum: how many values an average is of.
        output: the grid of the result.
    """

    place: str
    terms: tuple[tuple[Quantizer, ...], ...]
    divisor: int
    output: Quantizer

    @property
    def grids(self) -> list[Quantizer]:
        """All that take part."""
        return [self.output, *(grid for term in self.terms for grid in term)]

    def ratio(self, term: tuple[Quantizer, ...]) -> float:
        """What the integers of a term are multiplied by."""
        return math.prod(_scale(grid) for grid in term) / (self.divisor * _scale(self.output))


@takes_network
def avoid_ties(network: Network) -> TiesAvoided:
    """Move scales a little, in place, so that no result of an integer operator lies half way between two integers.

    Args:
        network: a network whose quantizers have their ranges; call it before weights are rounded for good.

    Returns:
        By which share each scale moved at most; and where ties may remain, with the reason.
    """
    moved: dict[str, float] = {}
    skipped: list[Skipped] = []
    names = {quantizer: name for name, quantizer in network.quantizers.items()}
    _, free = make_room_for_biases(network)
    fixed = fixed_quantizers(network, quantizer_nodes(network))
    for step in _sums(network):
        before = {grid: _scale(grid) for grid in step.grids}
        reason = _settle(step, fixed)
        if reason is None:
            moved |= {names[grid]: _scale(grid) / old - 1 for grid, old in before.items() if _scale(grid) != old}
            fixed.update(step.grids)
        else:
            skipped.append(Skipped(step.place, reason))
    for layer in network.layers:
        if layer.quantizer is None:
            continue
        scales = _around(network, layer)
        if scales is None:
            skipped.append(Skipped(layer.path, "it has no single grid of at most 8 bits before it and after it"))
        else:
            moved[layer.path], small = _settle_weight(layer.quantizer, *scales)
            small -= free.get(layer.path, 0)  # where there are no weights, there is nothing to be rounded apart
            if small > 0:
                skipped.append(Skipped(layer.path, f"{small} of its scales {TOO_SMALL}"))
    record = TiesAvoided(moved, tuple(skipped))
    network.history.append(record)
    return record


def _sums(network: Network) -> Iterator[_Sum]:
    """The operators without weights that round to a grid of their own, the last one first."""
    sizes = shapes(network)
    for node in reversed(network.graph.nodes):
        output = grid_under(network, node) if kind(network.module, node) == "quantizer" else None
        made = _under_activation(network, node.all_input_nodes[0]) if output is not None else node
        name, reads = kind(network.module, made), tensor_inputs(made)
        grids = [grid_under(network, value) for value in reads]
        ready = tuple(grid for grid in grids if grid is not None and _is_movable(grid))
        if output is None or not _is_movable(output) or not reads or len(ready) < len(reads):
            continue
        if name in TWO_OPERANDS:
            ready = ready * 2 if list(made.args[:2]) == reads * 2 else ready  # y + y reads one value
            if len(ready) == 2 and arguments(made).get("alpha", 1) == 1:
                yield _Sum(made.name, (ready,) if name in PRODUCTS else tuple((grid,) for grid in ready), 1, output)
        elif name in ("avg_pool", "mean"):
            yield _Sum(made.name, (ready,), _divisor(made, sizes), output)
        elif name == "concat" or Activation.at(network.module, made) is not None:
            yield from (_Sum(made.name, ((grid,),), 1, output) for grid in ready if grid is not output)


def _under_activation(network: Network, node: Node) -> Node:
    """What a clamp is fused to, or the node itself."""
    if Activation.at(network.module, node) is None or grid_under(network, tensor_inputs(node)[0]) is not None:
        return node
    return tensor_inputs(node)[0]


def _divisor(node: Node, sizes: dict[Node, Shape]) -> int:
    """The smallest number that the sizes of all windows divide."""
    counts = window_sizes(node, torch.Size(sizes[tensor_inputs(node)[0]]), torch.Size(sizes[node]))
    return math.lcm(*(int(count) for count in counts.unique()))


def _settle(step: _Sum, fixed: set[Quantizer]) -> str | None:
    """Move scales so that all terms are odd fractions with one denominator, or say why they stay."""
    numerators, denominator = odd_fraction(torch.tensor([step.ratio(term) for term in step.terms]).double())
    if not denominator.item():
        return f"its scales {TOO_SMALL}"
    fractions = dict(zip(step.terms, (numerators / denominator).tolist(), strict=True))
    stuck = [term for term in fractions if all(grid in fixed for grid in term)]
    if len(stuck) > 1 or (stuck and step.output in fixed):
        return "other operators need its scales to be what they are"
    for term in stuck:
        _move(step.output, step.ratio(term) / fractions[term])
    for term, fraction in fractions.items():
        if term not in stuck:
            grid = next(grid for grid in term if grid not in fixed)
            _move(grid, (fraction / step.ratio(term)) ** (1 / term.count(grid)))
    return None


def _around(network: Network, layer: Layer) -> tuple[float, float] | None:
    """The scales of what a layer reads and of what it gives, or None if not each is one."""
    nodes = calls(network, layer.path) if layer.node.op == "call_module" else [layer.node]
    found = set()
    for node in nodes:
        source = grid_under(network, tensor_inputs(node)[0])
        users = list(node.users)
        fused = users[0] if len(users) == 1 and Activation.at(network.module, users[0]) is not None else node
        reader = grid_under(network, quantized(network, fused))
        if source is None or reader is None or not _is_movable(source) or not _is_movable(reader):
            return None
        found.add((_scale(source), _scale(reader)))
    return found.pop() if len(found) == 1 else None


def _settle_weight(quantizer: Quantizer, input_scale: float, output_scale: float) -> tuple[float, int]:
    """Move a weight's scales; returns the largest share by which one moved, and how many have no fraction."""
    affine, integers = quantizer.affine, quantizer.integers
    if affine.scheme.power_of_two or affine.grid.bits > WIDEST:
        return 0.0, 0
    factor = input_scale / output_scale
    before = affine.scale.double().reshape(-1, 1)
    numerators, denominators = odd_fraction(before * factor)
    found = torch.where(denominators > 0, numerators / denominators / factor, before)
    scale = found.reshape(affine.scale.shape).to(affine.scale.dtype)
    quantizer.set_affine(Affine(affine.scheme, scale, affine.zero_point))
    if integers is not None:
        quantizer.hold(integers)
    return (scale / affine.scale - 1).abs().max().item(), int((denominators == 0).sum())


def _is_movable(quantizer: Quantizer) -> bool:
    movable = quantizer.calibrated and quantizer.affine.scale.dim() == 0 and not quantizer.scheme.power_of_two
    return movable and quantizer.affine.grid.bits <= WIDEST


def _scale(quantizer: Quantizer) -> float:
    return quantizer.affine.scale.item()


def _move(quantizer: Quantizer, factor: float) -> None:
    affine = quantizer.affine
    scale = (affine.scale.double() * factor).to(affine.scale.dtype)
    quantizer.set_affine(Affine(affine.scheme, scale, affine.zero_point))
