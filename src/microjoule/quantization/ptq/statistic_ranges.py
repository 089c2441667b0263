"""Activation ranges without data, from batch-norm statistics.

A value whose channels are about N(beta, gamma^2), clipped by its activation, lies within beta +- n |gamma| (n = 6). The
range of the tensor is that of its widest channel. With another range rule than min-max, the channels' clipped normal
densities stand in for the histogram that data would have given.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 5.
"""

import torch
from torch import Tensor

from microjoule.graph.card import Ranges
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.quantization.calibrate import quantizer_nodes, rule_name
from microjoule.quantization.moments import Known, propagate
from microjoule.records.facts import Calibrated, RangeFound

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
    known = propagate(network, input_range)
    found: dict[Quantizer, tuple[str, list[Distribution]]] = {}
    for node, quantizer in quantizer_nodes(network).items():
        value = known.get(node.all_input_nodes[0])
        name = str(node.target).removeprefix("quantizers.")
        if value is not None:
            found.setdefault(quantizer, (name, []))[1].append(density(value, sigmas=sigmas))
    ranges = [_set(quantizer, name, _joined(parts), rule) for quantizer, (name, parts) in found.items()]
    record = Calibrated(f"batch-norm statistics, {sigmas:g} sigma", rule_name(rule), 0, tuple(ranges))
    network.history.append(record)
    return record


def _joined(parts: list[Distribution]) -> Distribution:
    """Values that share a scale, as one row."""
    return Distribution(torch.cat([p.values for p in parts], 1), torch.cat([p.counts for p in parts], 1))


def _set(quantizer: Quantizer, name: str, distribution: Distribution, rule: RangeRule) -> RangeFound:
    low, high = (_one(bound) for bound in rule(distribution, quantizer.scheme))
    quantizer.set_range(low, high)
    return RangeFound(name, low.item(), high.item(), distribution.low.item(), distribution.high.item())


def _one(bound: Tensor) -> Tensor:
    return bound.squeeze(0).float()
