"""Activation ranges without data, from batch-norm statistics.

A value whose channels are about N(beta, gamma^2), clipped by its activation, lies within beta +- n |gamma| (n = 6). The
range of the tensor is that of its widest channel. With another range rule than min-max, the channels' clipped normal
densities stand in for the histogram that data would have given.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 5.
"""

from collections.abc import Mapping

import torch
from torch.fx import Node

from microjoule.graph.card import Ranges
from microjoule.graph.network import Network, takes_network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.moments import Known, propagate
from microjoule.quantization.range_setting import Values, quantizer_nodes, rule_name, set_ranges
from microjoule.records.facts import Calibrated

POINTS = 97
"""Points of the normal density that stand for a channel; at 6 sigma they are an eighth of a sigma apart."""


def density(known: Known, *, sigmas: float) -> Distribution:
    """A value's channels together as weighted points, one row.

    Args:
        known: what is known of its channels.
        sigmas: the points reach from -sigmas to sigmas standard deviations of each channel.
    """
    z = torch.linspace(-sigmas, sigmas, POINTS, device=known.low.device)
    points = known.before.mean[:, None] + z * known.before.std[:, None]
    values = torch.minimum(torch.maximum(points, known.low[:, None]), known.high[:, None])
    counts = torch.exp(-0.5 * z.square()).expand_as(values)
    return Distribution(values.reshape(1, -1), counts.reshape(1, -1))


@takes_network
def ranges_from_statistics(
    network: Network,
    *,
    input_range: Ranges,
    sigmas: float = 6.0,
    rule: RangeRule = min_max,
) -> Calibrated:
    """Set the range of every activation quantizer from batch-norm statistics; those it cannot tell stay open.

    Args:
        network: a network with quantizers, whose batch norms were folded.
        input_range: smallest and largest value of all inputs, or of each by its name.
        sigmas: how far a channel is taken to reach.
        rule: how a range is chosen from the densities.
    """
    known, places = propagate(network, input_range), quantizer_nodes(network)
    fixed = fixed_quantizers(network, places)
    told: dict[Quantizer, dict[Node, Distribution | None]] = {}
    for node, quantizer in places.items():
        value = known.get(node.all_input_nodes[0])
        if quantizer not in fixed:
            told.setdefault(quantizer, {})[node] = None if value is None else density(value, sigmas=sigmas)
    values = {quantizer: _values(parts) for quantizer, parts in told.items()}
    found = {quantizer: one for quantizer, one in values.items() if one is not None}
    ranges, notes = set_ranges(network, found, rule)
    record = Calibrated(f"batch-norm statistics, {sigmas:g} sigma", rule_name(rule), 0, ranges, notes)
    network.history.append(record)
    return record


def _values(parts: Mapping[Node, Distribution | None]) -> Values | None:
    """Values that share a scale, as one row; None where something is not known of one of them."""
    known = {node: part for node, part in parts.items() if part is not None}
    if len(known) < len(parts):
        return None
    points, counts = (torch.cat(row, 1) for row in zip(*((p.values, p.counts) for p in known.values()), strict=True))
    return Values(Distribution(points, counts), known)
