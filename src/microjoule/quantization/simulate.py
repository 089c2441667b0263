"""Put quantizers on a network: weights get their ranges at once, activations when they are calibrated."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import GraphError, SettingError
from microjoule.graph.decompose import decompose
from microjoule.graph.edit import insert_quantizer, quantize_weight, set_bias
from microjoule.graph.network import Network, takes_network, unknown_layer
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import grid_under, stored_tensor
from microjoule.numerics.affine import Affine, affine_of_interval, along, centred_ends
from microjoule.numerics.affine import quantize as to_integers
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.grid import Scheme
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.quantization.bias_grid import largest_sum, make_room_for_biases, sum_scale
from microjoule.quantization.placement import Place, place
from microjoule.records.facts import GridPlaced, Placed, Skipped
from microjoule.records.rounded import Frozen

Bits = int | tuple[int | None, int | None] | None
"""Bits of a layer: of its weights, or (weights, outputs), each None for the default; None alone is floating point."""


@takes_network
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

    Operators that the target lacks are first replaced by those that it runs in integer (`graph.decompose`). Layers that
    it does not run in integer have their weights quantized all the same.

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
        GraphError: if the network has quantizers already, nothing in it runs in integer, or what is named in `layers`
            is not there.
        SettingError, TargetError: for bits that a grid or the target does not have.
    """
    rules, chosen = find_target(target), dict(layers or {})
    excluded = frozenset(path for path, bits in chosen.items() if bits is None)
    _check(network)
    weighted = []
    for layer in network.layers:
        if layer.path not in excluded:
            bits = _bits(chosen.get(layer.path), 0, weights)
            weighted.append((layer, _for_weight(layer, rules.weight_scheme(bits, layer.out_axis), weight_rule)))
    for bits in {activations, *(_bits(one, 1, activations) for one in chosen.values())}:
        rules.activation_scheme(bits)
    _check_names(network, rules, excluded, chosen)
    replaced = decompose(network, rules.integer, excluded)
    found = place(network, rules, excluded)
    weighted = [(layer, quantizer) for layer, quantizer in weighted if layer.path not in found.exact]
    if not weighted and not found.places and not excluded:
        raise _nothing(rules, found.skipped)
    bits_of = {one.node: _bits(chosen.get(one.layer or one.node.name), 1, activations) for one in found.places}
    schemes = {node: rules.activation_scheme(bits) for node, bits in bits_of.items()}
    for layer, quantizer in weighted:
        quantize_weight(layer, quantizer)
    grids = [_grid(layer.path, "weight", quantizer, layer=layer.path) for layer, quantizer in weighted]
    skipped = (*(Skipped(path, "excluded by the caller") for path in chosen if path in excluded), *found.skipped)
    placed = (*grids, *_insert(network, found.places, schemes))
    record = Placed(rules.name, placed, skipped, replaced, rules.opset, rules.accumulator_bits)
    network.recompile()
    network.history.append(record)
    return record


def _nothing(rules: Target, skipped: tuple[Skipped, ...]) -> GraphError:
    """The error for a network in which nothing runs in integer."""
    reasons = "; ".join(f"{one.place}: {one.reason}" for one in skipped[:3])
    return GraphError(
        "network",
        f"has nothing that {rules.name} runs in integer" + (f" ({reasons})" if reasons else ""),
        remedy="use it in floating point, or a target that runs its operators in integer (docs/techniques/targets.md)",
    )


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


def _check_names(network: Network, rules: Target, excluded: frozenset[str], chosen: Mapping[str, Bits]) -> None:
    """Each exception must be a layer's, or the (None, bits) of a value that no layer makes."""
    known = [layer.path for layer in network.layers]
    others = {path: bits for path, bits in chosen.items() if path not in known}
    if not others:
        return
    trial = network.copy()
    decompose(trial, rules.integer, excluded)
    values = {one.node.name for one in place(trial, rules, excluded).places if one.layer is None}
    for path, bits in others.items():
        if path not in values:
            raise unknown_layer(path, known)
        if not isinstance(bits, tuple) or bits[0] is not None:
            raise SettingError(path, f"is a value without weights, got {bits}", remedy="give (None, bits)")


def _for_weight(layer: Layer, scheme: Scheme, rule: RangeRule) -> Quantizer:
    quantizer = Quantizer(scheme).to(layer.stored_weight.device)
    set_range_by(quantizer, layer, rule)
    return quantizer


def _insert(network: Network, places: Iterable[Place], schemes: Mapping[Node, Scheme]) -> list[GridPlaced]:
    """Put quantizers on values, one for all that share a scale; those that no data changes get their grid at once."""
    made: dict[Node, Quantizer] = {}
    grids = []
    for one in places:
        quantizer = made.setdefault(one.shares, Quantizer(schemes[one.shares]).to(network.device))
        if one.fixed is not None:
            quantizer.set_affine(affine_of_interval(one.fixed, quantizer.scheme))
            quantizer.to(network.device)
        elif one.stored:
            set_stored_range(network, one.node, quantizer)
        insert_quantizer(network, one.node, quantizer)
        kind = {"placeholder": "input", "get_attr": "stored"}.get(one.node.op, "activation")
        grids.append(_grid(one.node.name, kind, quantizer, layer=one.layer or ""))
    return grids


def set_stored_range(network: Network, node: Node, quantizer: Quantizer) -> None:
    """Lay a grid over all numbers of a stored operand."""
    low, high = torch.aminmax(stored_tensor(network, node).detach().float())
    quantizer.set_range(low, high)


def set_range_by(quantizer: Quantizer, layer: Layer, rule: RangeRule) -> None:
    """Choose a weight quantizer's range from the layer's stored weight."""
    distribution = Distribution.of(layer.stored_weight.detach(), quantizer.scheme)
    low, high = rule(distribution, quantizer.scheme)
    one = quantizer.scheme.axis is None
    quantizer.set_range(low.squeeze(0) if one else low, high.squeeze(0) if one else high)


@takes_network
def freeze(network: Network) -> Frozen:
    """Hold every layer's quantized weights, and round its bias to the integers of 32 bits that a target adds.

    A forward pass then quantizes no weight again. Call it when the network will not change any more; `unfreeze` lets
    weights change again, and biases stay on the grid of their sums, s_x s_w, some hundred times finer than that of the
    layer's output. Weights whose scale leaves no room for the bias, or which are all 0, first get another scale
    (`microjoule.quantization.bias_grid`).

    Returns:
        Which layers got another scale, and whose sums may need more bits than the target has.
    """
    grown, free = make_room_for_biases(network)
    placed = next((one for one in reversed(network.history) if isinstance(one, Placed)), None)
    wide: dict[str, int] = {}
    for layer in network.layers:
        if layer.quantizer is None:
            continue
        layer.quantizer.hold(rounded(layer))
        source = grid_under(network, layer.node.all_input_nodes[0])
        if source is None or not source.calibrated:
            continue
        if layer.bias is not None:
            set_bias(network, layer, bias_on_grid(layer.bias.detach(), layer, source.affine.scale))
        bits = _bits_of_sum(layer, source.affine) if source.affine.scale.dim() == 0 else 0
        if placed is not None and bits > placed.accumulator_bits:
            wide[layer.path] = bits
    record = Frozen(grown, free, 32 if placed is None else placed.accumulator_bits, wide)
    network.history.append(record)
    return record


def _bits_of_sum(layer: Layer, source: Affine) -> int:
    """How many bits the largest possible sum of a layer needs, its sign included."""
    assert layer.quantizer is not None
    assert layer.quantizer.integers is not None
    affine = layer.quantizer.affine
    integers = layer.quantizer.integers - along(affine.zero_point, layer.quantizer.integers, affine.scheme)
    bias = None if layer.bias is None else layer.bias.detach().double() / sum_scale(layer, affine, source.scale)
    ends = centred_ends(source)
    assert ends is not None
    return largest_sum(layer, integers, bias, ends).bit_length() + 1


def bias_on_grid(bias: Tensor, layer: Layer, input_scale: Tensor) -> Tensor:
    """The multiple of s_x s_w that is nearest to a bias, (out_channels,).

    Args:
        bias: (out_channels,).
        layer: with a quantizer on its weight.
        input_scale: (), of what it reads.
    """
    assert layer.quantizer is not None
    step = sum_scale(layer, layer.quantizer.affine, input_scale)
    return (torch.round(bias.double() / step) * step).to(bias.dtype)


@takes_network
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
