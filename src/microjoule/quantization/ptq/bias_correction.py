"""Bias correction: take out the shift that rounding the weights puts on a layer's mean output.

Rounding a weight W to Wq moves the layer's output by (Wq - W) x, on average by

    (sum over the kernel of (Wq - W)) E[x],

the same for every sample: so it belongs into the bias, b -= that. E[x] comes from batch-norm statistics (analytic, no
data), or the mean outputs of the floating-point and the quantized network are compared on images or noise (empirical),
layer after layer, so that each sees what the corrected layers before it give.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.input_store import KeptInputs
from microjoule.execution.progress import track
from microjoule.execution.run import unquantized, visit
from microjoule.execution.stages import Stages
from microjoule.execution.store import Store
from microjoule.graph.card import Ranges
from microjoule.graph.edit import bias_of, per_input, set_bias
from microjoule.graph.geometry import met_share
from microjoule.graph.network import Network, no_quantized_weight, takes_network
from microjoule.graph.ops import Layer, arguments, kind
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import is_private, through_quantizers
from microjoule.numerics.statistics import Moments
from microjoule.quantization.moments import propagate
from microjoule.records.facts import BiasesCorrected, BiasShift, Skipped

CONSTANT = 1e-5
"""A standard deviation of less than this share of the mean is float32's rounding: the channel never changes."""

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


@takes_network
def correct_biases_from_statistics(
    network: Network, *, input_range: Ranges, data: Any = None, samples: int | None = 16
) -> BiasesCorrected:
    """Correct every bias in place, with E[x] from batch-norm statistics.

    Args:
        network: a network with quantized weights, whose batch norms were folded.
        input_range: smallest and largest value of all inputs, or of each by its name.
        data: inputs (images, or generated noise) on which the shifts before and after are measured, in any form that
            `batches` takes. Without, the record tells the expected shifts, and nothing of what is left.
        samples: how many samples to measure on; None for all.
    """
    _check(network)
    known, dims = propagate(network, input_range), shapes(network)
    shifts: dict[Node, Tensor] = {}
    skipped, chosen = [], {}
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
        chosen[layer.node], shifts[layer.node] = layer, shift
    measured = None if data is None else _Measured(network, first(batches(data, network), samples), chosen)
    for node, layer in chosen.items():
        set_bias(network, layer, bias_of(layer).double() - shifts[node])
    if measured is None:
        told = tuple(_expected(network, chosen[node], shift) for node, shift in shifts.items())
    else:
        told = measured.shifts()
    by = "" if measured is None else measured.source
    record = BiasesCorrected("batch-norm statistics", told, tuple(skipped), by)
    network.history.append(record)
    return record


def _expected(network: Network, layer: Layer, shift: Tensor) -> BiasShift:
    """A shift by the statistics alone."""
    known = network.preactivations.get(layer.path)
    return BiasShift(layer.path, _in_units(shift, torch.ones_like(shift) if known is None else known.std), ())


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


@takes_network
@returns
def correct_biases(network: Network, data: Any, *, samples: int | None = 64, device: Device = None) -> BiasesCorrected:
    """Correct every bias in place, from the mean outputs on data, one layer after another.

    Each batch goes through the network once, layer by layer, and a layer sees what the corrected ones before it give;
    memory does not grow with the number of samples.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs (images, or generated noise), in any form that `batches` takes.
        samples: how many samples to use; None for all.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.
    """
    move(network, device)
    _check(network)
    skipped = [Skipped(layer.path, reason) for layer in network.layers if (reason := _cannot_correct(network, layer))]
    chosen = {layer.node: layer for layer in network.layers if not _cannot_correct(network, layer)}
    measured = _Measured(network, first(batches(data, network), samples), chosen)
    stages = Stages(network, measured.parts, list(chosen), Store())
    for stage, (node, layer) in enumerate(chosen.items()):
        moments = Moments(axis=layer.channel_axis)
        for _, values in stages.go_on(stage):
            moments.update(values.cut(values.step(node)))
        shift = (moments.mean - measured.expected[node].mean).to(layer.stored_weight.dtype)
        set_bias(network, layer, bias_of(layer) - shift)
    record = BiasesCorrected(measured.source, measured.shifts(), tuple(skipped), measured.source)
    network.history.append(record)
    return record


# Both -----------------------------------------------------------------------------------------------------------------


class _Measured:
    """The shift of each layer's mean output, on data: as it was first, and as it is later.

    Args:
        network: with quantizers.
        found: the data, which is gone through once; shuffled data would give others the next time.
        chosen: the layers by their nodes.
    """

    def __init__(self, network: Network, found: Batches, chosen: Mapping[Node, Layer]) -> None:
        self.network = network
        self.chosen = chosen
        self.parts = KeptInputs(found)
        self.source = f"{self.parts.samples:,} samples of {found.name}"
        with unquantized(network):
            self.expected = self._means("mean outputs")
        self.before = self._means("their shift")

    def shifts(self) -> tuple[BiasShift, ...]:
        """Of each layer, before and now, in standard deviations of the output in floating point."""
        after = self._means("what is left of it")
        return tuple(
            BiasShift(layer.path, self._shift(self.before, node), self._shift(after, node))
            for node, layer in self.chosen.items()
        )

    def _shift(self, now: dict[Node, Moments], node: Node) -> tuple[float, ...]:
        expected = self.expected[node]
        std = expected.variance.sqrt()
        varies = std > CONSTANT * expected.mean.abs()
        return _in_units(now[node].mean - expected.mean, torch.where(varies, std, torch.zeros_like(std)))

    def _means(self, what: str) -> dict[Node, Moments]:
        found = {node: Moments(axis=layer.channel_axis) for node, layer in self.chosen.items()}
        for inputs in track(self.parts, what, total=self.parts.samples):
            visit(self.network, inputs, found, lambda node, value: found[node].update(value))
        return found


def _check(network: Network) -> None:
    if not any(layer.quantizer for layer in network.layers):
        raise no_quantized_weight(network)


def _cannot_correct(network: Network, layer: Layer) -> str | None:
    if layer.quantizer is None:
        return "its weights are not quantized"
    return None if is_private(network, layer) else "it is used more than once"


def _in_units(shift: Tensor, std: Tensor) -> tuple[float, ...]:
    """A shift in standard deviations of each channel; a channel that never changes counts in its own units."""
    unit = torch.where(std > 0, std, torch.ones_like(std))
    return tuple((shift / unit).tolist())
