"""Channel pruning of AIMET's published recipe.

Input channels of a convolution with the smallest L2 norm of weights go, and with them what makes them: only where all
of a layer's input channels are made by one layer each and read by this one alone. Then the weights that are left are
fitted by plain linear regression at 10 places an image, from what the pruned network so far gives to what the original
gave, with a bias where the layer has one.

Source: He, Zhang, Sun 2017, Channel Pruning for Accelerating Very Deep Neural Networks,
https://arxiv.org/abs/1707.06168, section 3.1; that channels are chosen by norms, not by LASSO, is AIMET's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.fx import Node

import microjoule as mj
from benchmarks.alone import RATIOS, Weights
from microjoule.execution.moments import input_moments
from microjoule.execution.run import visit
from microjoule.execution.stages import Stages
from microjoule.execution.store import Store
from microjoule.graph.edit import by_input, set_bias, set_weight
from microjoule.graph.ops import Layer
from microjoule.graph.patches import (
    input_rows,
    output_rows,
    output_sizes,
    sample_positions,
    weight_from_rows,
)
from microjoule.numerics.least_squares import Moments, RunningMoments, best_bias

PLACES = 10
"""Of each image."""

AT_ONCE = 20
"""Images that run at a time."""

ZERO = 1e-10
"""Eigenvalues below this share of the largest count as 0."""

Channels = dict[str, list[tuple[str, int]]]
"""Layer -> for each of its input channels a channel group and the unit in it."""


# The equations --------------------------------------------------------------------------------------------------------


def kept_channels(norms: Tensor, ratio: float) -> Tensor:
    """Which channels stay: those with the largest norms, and one at least.

    Args:
        norms: (in,).
        ratio: how many of them.

    Returns:
        (in,), booleans.
    """
    keep = torch.zeros(len(norms), dtype=torch.bool)
    keep[norms.argsort(descending=True, stable=True)[: max(1, round(ratio * len(norms)))]] = True
    return keep


def regression(known: Moments, columns: Tensor, *, intercept: bool) -> tuple[Tensor, Tensor]:
    """Ordinary least squares on some of the inputs; of all solutions the one of the least norm.

    Args:
        known: of one group.
        columns: (inputs,), booleans: the inputs that are used.
        intercept: whether there is one.

    Returns:
        The weights (outputs, inputs), which are 0 for the other inputs, and the intercepts (outputs,).
    """
    second, cross = known.second[0], known.cross[0]
    if not intercept:
        second = second + known.input_mean[0, :, None] * known.input_mean[0]
        cross = cross + known.output_mean[0, :, None] * known.input_mean[0]
    weight = torch.zeros_like(cross)
    weight[:, columns] = cross[:, columns] @ torch.linalg.pinv(second[columns][:, columns], hermitian=True, rtol=ZERO)
    return weight, best_bias(weight[None], known)[0]


# Where it applies -----------------------------------------------------------------------------------------------------


def prunable(network: mj.Network) -> Channels:
    """The convolutions of one group whose input channels can all go, each made by one layer and read by one alone."""
    found: Channels = {}
    layers = {layer.path: layer for layer in network.layers}
    read: dict[str, dict[int, tuple[str, int]]] = defaultdict(dict)
    for group in mj.channel_groups(network).groups:
        makers, readers = ([layers[path] for path in paths] for paths in (group.makers, group.readers))
        if sum(layer.groups == 1 for layer in makers) == 1 and sum(layer.groups == 1 for layer in readers) == 1:
            (reader,) = (layer.path for layer in readers if layer.groups == 1)
            for unit, channels in enumerate(group.member(reader, "in").channels):
                read[reader].update(dict.fromkeys(channels, (group.name, unit)))
    for path, known in read.items():
        if layers[path].kind == "conv" and len(known) == layers[path].in_channels:
            found[path] = [known[number] for number in range(len(known))]
    return found


def _keep(layer: Layer, channels: Sequence[tuple[str, int]], ratio: float) -> Tensor:
    """Which input channels stay; of each group one at least."""
    norms = by_input(layer, layer.by_output(layer.stored_weight.detach())).norm(dim=1)
    keep = kept_channels(norms, ratio)
    for name in dict.fromkeys(name for name, _ in channels):
        own = [number for number, (group, _) in enumerate(channels) if group == name]
        if not bool(keep[own].any()):
            keep[own[int(norms[own].argmax())]] = True
    return keep


def _fitted(layer: Layer, known: Moments, keep: Tensor) -> Weights:
    """A layer's weights by regression on the channels that stay, and its bias if it has one."""
    columns = keep.repeat_interleave(layer.stored_weight[0, 0].numel())
    weight, bias = regression(known, columns, intercept=layer.bias is not None)
    return weight_from_rows(layer, weight[None]).to(layer.stored_weight), None if layer.bias is None else bias


def candidate_weights(network: mj.Network, inputs: Tensor) -> dict[str, dict[float, Weights]]:
    """What layers become at each ratio when they are pruned alone: what they read is then as it was.

    Args:
        network: in floating point.
        inputs: (n, ...), for the regression.

    Returns:
        Layer -> ratio -> its weight and bias.
    """
    channels = prunable(network)
    layers = [layer for layer in network.layers if layer.path in channels]
    known = input_moments(network, inputs, layers, rows=PLACES * len(inputs))
    return {
        layer.path: {
            ratio: _fitted(layer, known[layer.path], _keep(layer, channels[layer.path], ratio)) for ratio in RATIOS
        }
        for layer in layers
    }


# Applying it ----------------------------------------------------------------------------------------------------------


def thinned(network: mj.Network, ratios: Mapping[str, float], channels: Channels) -> mj.Network:
    """A pruned network whose weights are not fitted.

    Args:
        network: in floating point.
        ratios: of input channels, by layer.
        channels: of the network, from `prunable`.
    """
    found = network.copy()
    keep = {path: _keep(found.layer(path), channels[path], ratios[path]) for path in ratios}
    mj.remove_channels(found, _units(channels, keep))
    return found


def prune(network: mj.Network, inputs: Tensor, ratios: Mapping[str, float]) -> mj.Network:
    """A pruned network whose weights are fitted, one layer after another.

    Args:
        network: in floating point.
        inputs: (n, ...), for the regression.
        ratios: of input channels, by layer.
    """
    channels, found = prunable(network), network.copy()
    keep = {path: _keep(found.layer(path), channels[path], ratios[path]) for path in ratios}
    layers = [layer for layer in found.layers if layer.path in ratios]
    parts = [(part,) for part in inputs.split(AT_ONCE)]
    positions, targets = _targets(network, parts, list(ratios))
    stages = Stages(found, parts, [layer.node for layer in layers], Store())
    for stage, layer in enumerate(layers):
        sums, source = RunningMoments(), layer.node.all_input_nodes[0]
        for number, values in stages.go_on(stage):
            rows = input_rows(layer, values.value(source), positions[layer.path, number])
            sums.update(rows, targets.pop((layer.path, number)))
        weight, bias = _fitted(layer, sums.moments(), keep[layer.path])
        set_weight(layer, weight)
        if bias is not None:
            set_bias(found, layer, bias)
    mj.remove_channels(found, _units(channels, keep))
    return found


def _targets(
    network: mj.Network, parts: Sequence[tuple[Tensor]], paths: Sequence[str]
) -> tuple[dict[tuple[str, int], Tensor], dict[tuple[str, int], Tensor]]:
    """Places of layers' outputs and what the original gives there, by layer and number of the batch."""
    chooser = torch.Generator().manual_seed(0)
    layers = {layer.node: layer for layer in network.layers if layer.path in paths}
    positions: dict[tuple[str, int], Tensor] = {}
    targets: dict[tuple[str, int], Tensor] = {}
    for number, part in enumerate(parts):

        def look(node: Node, value: Tensor, number: int = number) -> None:
            layer = layers[node]
            where = sample_positions(len(value), output_sizes(layer, value.shape), PLACES, chooser)
            positions[layer.path, number], targets[layer.path, number] = where, output_rows(layer, value, where)

        visit(network, part, set(layers), look)
    return positions, targets


def _units(channels: Channels, keep: Mapping[str, Tensor]) -> dict[str, set[int]]:
    """For each channel group the units to remove."""
    removed: dict[str, set[int]] = defaultdict(set)
    for path, stay in keep.items():
        for (group, unit), stays in zip(channels[path], stay.tolist(), strict=True):
            if not stays:
                removed[group].add(unit)
    return removed
