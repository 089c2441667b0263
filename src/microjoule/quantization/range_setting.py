"""Setting the ranges of activation quantizers from what is known of their values, by data or by statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import RangeRule
from microjoule.quantization.idle import REASON, range_of_zeros
from microjoule.quantization.joined import separate_joined
from microjoule.records.facts import RangeFound, Skipped


@dataclass(frozen=True, slots=True)
class Values:
    """What is known of the values on one grid.

    Args:
        together: all of them.
        alone: each by itself, by its quantizer's node.
    """

    together: Distribution
    alone: dict[Node, Distribution]


def set_ranges(
    network: Network, known: Mapping[Quantizer, Values], rule: RangeRule
) -> tuple[tuple[RangeFound, ...], tuple[Skipped, ...]]:
    """Set the range of each quantizer by a rule, in place.

    Quantizers under which a part of a concatenation would be lost are taken off.

    Args:
        network: with quantizers.
        known: what is known of each quantizer's values.
        rule: how a range is chosen.

    Returns:
        The ranges, and what is noted about them.
    """
    ranges, notes = [], []
    own: dict[Node, tuple[float, float]] = {}
    for quantizer, values in known.items():
        first_node = next(iter(values.alone))
        found = _range(name_at(first_node), values.together, rule, quantizer)
        parts = values.alone if len(values.alone) > 1 else {}
        alone = {node: _range(name_at(node), part, rule, quantizer) for node, part in parts.items()}
        own |= {node: (one.low, one.high) for node, one in (alone or {first_node: found}).items()}
        if found.seen_low == found.seen_high == 0:
            found = replace(found, high=range_of_zeros(network, quantizer))
            notes.append(Skipped(found.name, REASON))
        ends = torch.tensor([found.low, found.high], device=network.device)
        quantizer.set_range(*ends.unbind())
        ranges.append(found)
    own = known_ranges(network) | own
    return tuple(ranges), (*notes, *separate_joined(network, quantizer_nodes(network), own))


def _range(name: str, seen: Distribution, rule: RangeRule, quantizer: Quantizer) -> RangeFound:
    low, high = (bound.squeeze(0).float().item() for bound in rule(seen, quantizer.scheme))
    return RangeFound(name, low, high, seen.low.item(), seen.high.item())


def known_ranges(network: Network) -> dict[Node, tuple[float, float]]:
    """The smallest and the largest value that each quantizer with a range can hold."""
    found = {}
    for node, quantizer in quantizer_nodes(network).items():
        if quantizer.calibrated:
            grid, zero_point = quantizer.affine.grid, quantizer.affine.zero_point
            low, high = ((end - zero_point) * quantizer.affine.scale for end in (grid.qmin, grid.qmax))
            found[node] = low.min().item(), high.max().item()
    return found


def quantizer_nodes(network: Network) -> dict[Node, Quantizer]:
    """Every node that calls an activation quantizer, with it."""
    found = {}
    for node in network.graph.nodes:
        if kind(network.module, node) == "quantizer":
            module = network.module.get_submodule(str(node.target))
            assert isinstance(module, Quantizer)
            found[node] = module
    return found


def rule_name(rule: RangeRule) -> str:
    """What to call a rule in a record; one that a function makes is named by both."""
    return str(getattr(rule, "__qualname__", type(rule).__name__)).replace(".<locals>", "")


def name_at(node: Node) -> str:
    """The value that a quantizer's node stands on."""
    return str(node.target).removeprefix("quantizers.")
