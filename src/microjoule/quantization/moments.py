"""What batch-norm statistics say about every value of a network, without data.

A layer's output before its activation is taken as normal with the batch norm's beta and |gamma|, channel by channel;
an activation clips it (closed forms in microjoule.numerics.gaussian); a sum adds means and variances; a layer without
statistics of its own gives W E[x] + b, with the variances of its inputs taken as independent.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, sections 4.2.1 and 5 (activation ranges: beta +- 6 gamma).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.errors import DataError
from microjoule.graph.activation import Activation
from microjoule.graph.card import Range, Ranges
from microjoule.graph.edit import bias_of, bounds_of, per_input
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, kind, tensor_inputs
from microjoule.graph.shapes import Shape, shapes
from microjoule.numerics.gaussian import Gaussian

INFINITE = float("inf")
ELEMENTWISE = frozenset(["dropout", "identity", "quantizer"])
SPATIAL = frozenset(["max_pool", "avg_pool", "mean", "pad", "upsample_nearest", "upsample_bilinear"])
"""Operators after which a channel is still about the same distribution (pooling narrows it: the range stays safe)."""


@dataclass(frozen=True, slots=True)
class Known:
    """A value's channels: normal, then clipped to [low, high].

    Args:
        before: the distribution before clipping.
        low: (channels,), -inf where nothing is clipped.
        high: (channels,), inf where nothing is clipped.
        last: whether channels are the last of more than two dimensions, as a linear layer makes them of tokens.
    """

    before: Gaussian
    low: Tensor
    high: Tensor
    last: bool = False

    @property
    def mean(self) -> Tensor:
        """(channels,)."""
        return self.before.mean_of_clipped(self.low, self.high)

    @property
    def var(self) -> Tensor:
        """(channels,)."""
        return self.before.var_of_clipped(self.low, self.high)


def normal(mean: Tensor, var: Tensor) -> Known:
    """An unclipped normal value.

    Args:
        mean: (channels,).
        var: (channels,), >= 0.
    """
    unbounded = torch.full_like(mean, INFINITE)
    return Known(Gaussian(mean, var.clamp(min=0).sqrt()), -unbounded, unbounded)


def propagate(network: Network, input_range: Ranges) -> dict[Node, Known]:
    """What is known about each value.

    Args:
        network: a network whose batch norms were folded, so that the statistics of its layers are known.
        input_range: smallest and largest value of all inputs, or of each by its name; they are taken as uniform in
            between.

    Returns:
        A value's node -> what is known; a value is left out where nothing can be said.
    """
    dims = shapes(network)
    known: dict[Node, Known] = {}
    for node in network.graph.nodes:
        if node.op == "placeholder" and len(dims.get(node, ())) > 1:
            bounds = _bounds(node, input_range)
            if bounds is not None:
                known[node] = _input(dims[node], bounds, network.device)
            continue
        found = _after(network, node, known, dims)
        if found is not None:
            known[node] = found
    return known


def _bounds(node: Node, ranges: Ranges) -> Range | None:
    """The range of an input, or of the nested one that it is part of."""
    if not isinstance(ranges, Mapping):
        return ranges
    return next((one for name, one in ranges.items() if node.name == name or node.name.startswith(f"{name}_")), None)


def _input(shape: Shape, input_range: Range, device: torch.device) -> Known:
    low, high = (torch.full((shape[1],), bound, device=device) for bound in input_range)
    return Known(Gaussian((low + high) / 2, (high - low) / 12**0.5), low, high)


def _after(network: Network, node: Node, known: dict[Node, Known], dims: dict[Node, Shape]) -> Known | None:
    """What is known after one node, from what is known of its inputs."""
    inputs = [known.get(other) for other in tensor_inputs(node)]
    layer = Layer.at(network.module, node)
    if layer is not None:
        return _layer(network, layer, inputs[0], last=layer.kind == "linear" and len(dims[node]) > 2)
    name = kind(network.module, node)
    given = [value for value in inputs if value is not None]
    if not given or len(given) < len(inputs):
        return None
    if Activation.at(network.module, node) is not None:
        low, high = bounds_of(network, node, given[0].before.mean, 0)
        return replace(given[0], low=given[0].low.clamp(low, high), high=given[0].high.clamp(low, high))
    if name in ELEMENTWISE:
        return given[0]
    if name in ("add", "concat"):
        return _combined(node, given, dims)
    return None if given[0].last else _over_space(node, name, given[0], dims)


def _combined(node: Node, values: list[Known], dims: dict[Node, Shape]) -> Known | None:
    """What is known of a sum, or of channels side by side."""
    last, given = values[0].last, arguments(node)
    if len(values) == 1 or any(value.last != last for value in values):
        return None
    if "alpha" in given:
        return _sum(values) if given["alpha"] == 1 else None
    rank = len(dims[node])
    return _concat(values) if given["dim"] % rank == (rank - 1 if last else 1) else None


def _over_space(node: Node, name: str | None, value: Known, dims: dict[Node, Shape]) -> Known | None:
    """What is known after an operator that works on the dimensions after the channels."""
    if name != "reshape" and name not in SPATIAL:
        return None
    before, after = dims[tensor_inputs(node)[0]], dims[node]
    if name == "reshape":
        return _reshaped(value, before, after)
    if name == "pad" and (arguments(node)["value"] or len(arguments(node)["pad"]) > 2 * (len(before) - 2)):
        return None
    if name == "mean" and any(dim % len(before) < 2 for dim in arguments(node)["dim"] or (0,)):
        return None
    return value


def _layer(network: Network, layer: Layer, source: Known | None, *, last: bool) -> Known | None:
    if layer.path in network.preactivations:
        statistics = network.preactivations[layer.path]
        if not bool(torch.isfinite(statistics.std.square()).all()):
            fact = "gives values whose squares are beyond float32"
            raise DataError(layer.path, fact, remedy="scale the values down, or quantize for a scale a channel")
        return replace(normal(statistics.mean, statistics.std.square()), last=last)
    if source is None or len(source.low) != layer.in_channels or source.last != last:
        return None
    weight = layer.by_output(layer.stored_weight.detach())
    mean = (weight * per_input(layer, source.mean)).flatten(1).sum(1) + bias_of(layer)
    return replace(normal(mean, (weight.square() * per_input(layer, source.var)).flatten(1).sum(1)), last=last)


def _reshaped(value: Known, before: Shape, after: Shape) -> Known | None:
    """Flattening lays each channel's values side by side."""
    if len(after) < 2 or len(before) < 2 or after[0] != before[0] or after[1] % before[1]:
        return None
    each = after[1] // before[1]
    mean, std = (t.repeat_interleave(each) for t in (value.before.mean, value.before.std))
    return Known(Gaussian(mean, std), value.low.repeat_interleave(each), value.high.repeat_interleave(each))


def _sum(values: list[Known]) -> Known | None:
    if len({len(value.low) for value in values}) > 1:
        return None
    total = torch.stack([value.mean for value in values]).sum(0), torch.stack([value.var for value in values]).sum(0)
    return replace(normal(*total), last=values[0].last)


def _concat(values: list[Known]) -> Known:
    mean, std = torch.cat([v.before.mean for v in values]), torch.cat([v.before.std for v in values])
    low, high = torch.cat([v.low for v in values]), torch.cat([v.high for v in values])
    return Known(Gaussian(mean, std), low, high, values[0].last)
