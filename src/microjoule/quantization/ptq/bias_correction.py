"""Bias correction: take out the shift that rounding the weights puts on a layer's mean output.

Rounding a weight W to Wq moves the layer's output by (Wq - W) x, on average by

    (sum over the kernel of (Wq - W)) E[x],

the same for every sample: so it belongs into the bias, b -= that. E[x] comes from batch-norm statistics (analytic, no
data), or the mean outputs of the floating-point and the quantized network are compared on images or noise (empirical),
layer after layer, so that each sees what the corrected layers before it give.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.errors import GraphError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.input_store import KeptInputs
from microjoule.execution.progress import track
from microjoule.execution.run import unquantized, visit
from microjoule.execution.stages import Stages
from microjoule.execution.store import Store
from microjoule.graph.card import Ranges
from microjoule.graph.edit import bias_of, per_input, set_bias
from microjoule.graph.geometry import met_share
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, arguments, kind
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import is_private, through_quantizers
from microjoule.numerics.statistics import Moments
from microjoule.quantization.moments import propagate
from microjoule.records.facts import BiasesCorrected, BiasShift, Skipped

# The equation ---------------------------------------------------------------------------------------------------------


def expected_shift(rounding: Tensor, mean: Tensor, share: Tensor | float = 1.0) -> Tensor:
    """(sum over the kernel of (Wq - W)) E[x], (out,).

    Args:
        rounding: (out, in / groups, *kernel), what rounding added to the weights, Wq - W.
        mean: (out, in / groups, 1, ...), or broadcasts so: E[x] of the input that each weight reads.
        share: (*kernel), how often each weight of the kernel meets the input and not zero padding; 1 for always.
    """
    return (rounding.double() * mean.double() * share).flatten(1).sum(1)


# Analytic: from batch-norm statistics ---------------------------------------------------------------------------------


def correct_biases_from_statistics(network: Network, *, input_range: Ranges) -> BiasesCorrected:
    """Correct every bias in place, with E[x] from batch-norm statistics.

    Args:
        network: a network with quantized weights, whose batch norms were folded.
        input_range: smallest and largest value of all inputs, or of each by its name.
    """
    _check(network)
    known, dims = propagate(network, input_range), shapes(network)
    shifts, skipped = [], []
    for layer in network.layers:
        reason = _cannot_correct(network, layer)
        source = known.get(layer.node.all_input_nodes[0])
        if reason is None and source is None:
            reason = "nothing is known of its input without data"
        if reason is not None or source is None:
            skipped.append(Skipped(layer.path, str(reason)))
            continue
        rounding = layer.by_output((layer.weight - layer.stored_weight).detach())
        shift = expected_shift(rounding, per_input(layer, source.mean), _share_inside(network, layer, dims))
        set_bias(network, layer, bias_of(layer).double() - shift)
        std = network.preactivations[layer.path].std if layer.path in network.preactivations else torch.ones_like(shift)
        shifts.append(_in_units_of(layer.path, shift, torch.zeros_like(shift), std))
    record = BiasesCorrected("batch-norm statistics", tuple(shifts), tuple(skipped))
    network.history.append(record)
    return record


def _share_inside(network: Network, layer: Layer, dims: dict[Node, Shape]) -> Tensor | float:
    """How often each weight of a convolution's kernel meets its input and not zero padding, over all positions."""
    if layer.kind == "linear":
        return 1.0
    source, pads = through_quantizers(network, layer.node.all_input_nodes[0]), None
    if kind(network.module, source) == "pad" and arguments(source).get("mode", "constant") == "constant":
        flat = [*arguments(source)["pad"], *[0] * 2 * len(dims[source])][: 2 * (len(dims[source]) - 2)]
        pads = tuple(zip(flat[-2::-2], flat[-1::-2], strict=True))
        source = source.all_input_nodes[0]
    return met_share(layer, dims[source][2:], pads=pads).to(network.device)


# Empirical: from images or noise --------------------------------------------------------------------------------------


@returns
def correct_biases(network: Network, data: Any, *, samples: int | None = 64, device: Device = None) -> BiasesCorrected:
    """Correct every bias in place, from the mean outputs on data, one layer after another.

    All data goes through the network up to a layer, whose mean outputs then move its bias, and on from there: batch by
    batch, so that memory does not grow with the number of samples.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs (images, or generated noise), in any form that `batches` takes.
        samples: how many samples to use; None for all.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.
    """
    move(network, device)
    _check(network)
    found = first(batches(data, network), samples)
    skipped = [Skipped(layer.path, reason) for layer in network.layers if (reason := _cannot_correct(network, layer))]
    chosen = {layer.node: layer for layer in network.layers if not _cannot_correct(network, layer)}
    expected = {node: Moments(axis=layer.channel_axis) for node, layer in chosen.items()}
    parts = KeptInputs(found)  # gone through once: shuffled data would give others the next time
    with unquantized(network):
        for inputs in track(parts, "mean outputs", total=found.samples):
            visit(network, inputs, chosen, lambda node, value: expected[node].update(value))
    stages, shifts = Stages(network, parts, list(chosen), Store()), []
    for stage, (node, layer) in enumerate(chosen.items()):
        moments = Moments(axis=layer.channel_axis)
        for _, values in stages.go_on(stage):
            moments.update(values.cut(values.step(node)))
        shift = moments.mean - expected[node].mean
        set_bias(network, layer, bias_of(layer) - shift.to(bias_of(layer)))
        shifts.append(_in_units_of(layer.path, shift, torch.zeros_like(shift), expected[node].variance.sqrt()))
    record = BiasesCorrected(f"{parts.samples} samples of {found.name}", tuple(shifts), tuple(skipped))
    network.history.append(record)
    return record


# Both -----------------------------------------------------------------------------------------------------------------


def _check(network: Network) -> None:
    if not any(layer.quantizer for layer in network.layers):
        raise GraphError("network", "has no quantized weight", remedy="call mj.quantize(network, ...) first")


def _cannot_correct(network: Network, layer: Layer) -> str | None:
    if layer.quantizer is None:
        return "its weights are not quantized"
    return None if is_private(network, layer) else "it is used more than once"


def _in_units_of(path: str, before: Tensor, after: Tensor, std: Tensor) -> BiasShift:
    """A shift in standard deviations of each channel; a channel that never changes counts in its own units."""
    unit = torch.where(std > 0, std, torch.ones_like(std))
    return BiasShift(path, tuple((before / unit).tolist()), tuple((after / unit).tolist()))
