"""Put quantizers on a network: weights get their ranges at once, activations when they are calibrated."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import GraphError, SettingError
from microjoule.graph.edit import insert_quantizer, quantize_weight, set_bias
from microjoule.graph.network import Network, unknown_layer
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import grid_under
from microjoule.numerics.affine import quantize as to_integers
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.grid import Scheme
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.quantization.placement import Place, find_places
from microjoule.records.facts import GridPlaced, Placed, Skipped

Bits = int | tuple[int | None, int | None] | None
"""Bits of a layer: of its weights, or (weights, outputs), each None for the default; None alone is floating point."""


def quantize(
    network: Network,
    *,
    target: str | Path | Target = "onnxruntime",
    weights: int | None = None,
    activations: int | None = None,
    layers: Mapping[str, Bits] | None = None,
    weight_rule: RangeRule = min_max,
) -> Placed:
    """Insert quantizers in place, where the target's rules want them.

    Args:
        network: a network without quantizers; fold batch norms first, so that the simulation is that of the target.
        target: a target's name, a TOML file, or a Target.
        weights: bits of weights; None for the target's default.
        activations: bits of activations; None for the target's default.
        layers: exceptions by layer path: None leaves a layer in floating point, a number is its weights' bits, a pair
            is (weights, outputs), in which None is the default. A value that no layer makes (an input, a sum) goes by
            its quantizer's name, with (None, bits).
        weight_rule: how weights' ranges are chosen.

    Returns:
        Where quantizers stand now, and what got none, with the reason.

    Raises:
        GraphError: if the network has quantizers already, or what is named in `layers` is not there.
        SettingError, TargetError: for bits that a grid or the target does not have.
    """
    rules, chosen = find_target(target), dict(layers or {})
    excluded = frozenset(path for path, bits in chosen.items() if bits is None)
    _check(network)
    places = find_places(network, rules, excluded)
    _check_names(network, places, chosen)
    weighted = []
    for layer in network.layers:
        if layer.path not in excluded and layer.kind in rules.integer:
            bits = _bits(chosen.get(layer.path), 0, weights)
            weighted.append((layer, _for_weight(layer, rules.weight_scheme(bits, layer.out_axis), weight_rule)))
    bits_of = {place.node: _bits(chosen.get(place.layer or place.node.name), 1, activations) for place in places}
    schemes = {node: rules.activation_scheme(bits) for node, bits in bits_of.items()}
    for layer, quantizer in weighted:
        quantize_weight(layer, quantizer)
    grids = [_grid(layer.path, "weight", quantizer, layer=layer.path) for layer, quantizer in weighted]
    placed = (*grids, *_insert(network, places, schemes))
    left = _skipped(network, rules, chosen)
    record = Placed(rules.name, placed, left, opset=rules.opset, accumulator_bits=rules.accumulator_bits)
    network.recompile()
    network.history.append(record)
    return record


def _check(network: Network) -> None:
    if network.quantizers or any(layer.quantizer for layer in network.layers):
        raise GraphError("network", "has quantizers already", remedy="start from the network before it was quantized")
    for layer in network.layers:
        if layer.owner is network.module:
            raise GraphError(
                layer.path,
                "is stored at the root of the network, where no quantizer can stand",
                remedy="capture nn.Sequential(model), so that the layer has a path of its own",
            )


def _check_names(network: Network, places: list[Place], chosen: Mapping[str, Bits]) -> None:
    """Each exception must be a layer's, or the (None, bits) of a value that no layer makes."""
    known = [layer.path for layer in network.layers]
    values = {place.node.name for place in places if place.layer is None}
    for path, bits in chosen.items():
        if path in known:
            continue
        if path not in values:
            raise unknown_layer(path, known)
        if not isinstance(bits, tuple) or bits[0] is not None:
            raise SettingError(path, f"is a value without weights, got {bits}", remedy="give (None, bits)")


def _skipped(network: Network, rules: Target, chosen: Mapping[str, Bits]) -> tuple[Skipped, ...]:
    """The layers that stay in floating point, and why."""
    excluded = [path for path, bits in chosen.items() if bits is None]
    others = [layer for layer in network.layers if layer.path not in excluded and layer.kind not in rules.integer]
    reasons = [Skipped(layer.path, f"{rules.name} does not run {layer.kind} in integer") for layer in others]
    return (*(Skipped(path, "excluded by the caller") for path in excluded), *reasons)


def _for_weight(layer: Layer, scheme: Scheme, rule: RangeRule) -> Quantizer:
    quantizer = Quantizer(scheme).to(layer.stored_weight.device)
    set_range_by(quantizer, layer, rule)
    return quantizer


def _insert(network: Network, places: list[Place], schemes: Mapping[Node, Scheme]) -> list[GridPlaced]:
    """Put quantizers on values, one for all that share a scale."""
    made: dict[Node, Quantizer] = {}
    grids = []
    for place in places:
        quantizer = made.setdefault(place.shares, Quantizer(schemes[place.shares]).to(network.device))
        insert_quantizer(network, place.node, quantizer)
        kind = "input" if place.node.op == "placeholder" else "activation"
        grids.append(_grid(place.node.name, kind, quantizer, layer=place.layer or ""))
    return grids


def set_range_by(quantizer: Quantizer, layer: Layer, rule: RangeRule) -> None:
    """Choose a weight quantizer's range from the layer's stored weight."""
    distribution = Distribution.of(layer.stored_weight.detach(), quantizer.scheme)
    low, high = rule(distribution, quantizer.scheme)
    one = quantizer.scheme.axis is None
    quantizer.set_range(low.squeeze(0) if one else low, high.squeeze(0) if one else high)


def freeze(network: Network) -> None:
    """Hold every layer's quantized weights, and round its bias to the integers of 32 bits that a target adds.

    A forward pass then quantizes no weight again. Call it when the network will not change any more; `unfreeze` lets
    weights change again, and biases stay on the grid of their sums, s_x s_w, some hundred times finer than that of the
    layer's output.
    """
    for layer in network.layers:
        if layer.quantizer is not None:
            layer.quantizer.hold(rounded(layer))
            source = grid_under(network, layer.node.all_input_nodes[0])
            if layer.bias is not None and source is not None and source.calibrated:
                set_bias(network, layer, bias_on_grid(layer.bias.detach(), layer, source.affine.scale))


def bias_on_grid(bias: Tensor, layer: Layer, input_scale: Tensor) -> Tensor:
    """The multiple of s_x s_w that is nearest to a bias, (out_channels,).

    Args:
        bias: (out_channels,).
        layer: with a quantizer on its weight.
        input_scale: (), of what it reads.
    """
    assert layer.quantizer is not None
    affine = layer.quantizer.affine
    block = affine.scheme.block or 1
    scale = affine.scale.double().repeat_interleave(block) if affine.scale.dim() else affine.scale.double()
    if scale.dim():
        scale = scale.repeat(layer.groups) if layer.kind == "conv_transpose" else scale[: layer.out_channels]
    step = scale * input_scale.double()
    return (torch.round(bias.double() / step) * step).to(bias.dtype)


def unfreeze(network: Network) -> None:
    """Quantize weights anew at each forward pass."""
    for layer in network.layers:
        if layer.quantizer is not None:
            layer.quantizer.release()


def rounded(layer: Layer) -> Tensor:
    """The integers of a layer's weight: those that it stands for already, or the nearest; the weight's shape."""
    quantizer = layer.quantizer
    assert quantizer is not None
    if quantizer.integers is not None:
        return quantizer.integers
    return to_integers(layer.stored_weight.detach(), quantizer.affine)


def _bits(chosen: Bits, index: int, default: int | None = None) -> int | None:
    """The bits of weights (0) or outputs (1) in an exception, or the default."""
    if isinstance(chosen, tuple):
        return chosen[index] if chosen[index] is not None else default
    return chosen if index == 0 and chosen is not None else default


def _grid(name: str, kind: str, quantizer: Quantizer, *, layer: str) -> GridPlaced:
    scheme = quantizer.scheme
    scales = 1 if quantizer.scale is None or quantizer.scale.dim() == 0 else len(quantizer.scale)
    return GridPlaced(name, name, kind, scheme.grid.bits, scheme.grid.signed, scheme.symmetric, scales, layer)
