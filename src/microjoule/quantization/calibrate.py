"""Activation ranges from data: one streamed pass that keeps statistics only, then a rule."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, GraphError
from microjoule.execution.batches import batches, first
from microjoule.execution.progress import track
from microjoule.execution.run import count, run, unquantized
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.numerics.statistics import Histogram
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.idle import REASON, range_of_zeros
from microjoule.quantization.joined import lift, separate_joined
from microjoule.records.facts import Calibrated, RangeFound, Skipped

NOT_FINITE = "it holds infinity or NaN, which nothing of the output shows: it stays in floating point"


def calibrate(
    network: Network,
    data: Any,
    *,
    rule: RangeRule = min_max,
    samples: int | None = None,
    keep: bool = False,
) -> Calibrated:
    """Set the range of every activation quantizer from what the unquantized network computes on data.

    Quantizers pass values through until they have a range, so a second calibration starts from floating point, too.
    Grids that no data changes (of a softmax, of a stored operand) stay. A quantizer is taken off where no grid would
    do: from values that are not finite in places that the output does not show (the other branch of a choice), and from
    concatenations of which a part would be lost.

    Args:
        network: a network with quantizers.
        data: inputs, in any form that `batches` takes; labels are not read.
        rule: how a range is chosen from the statistics of a value.
        samples: how many samples to use; None for all.
        keep: leave quantizers that have a range as they are.

    Returns:
        The ranges, and where none could be found or a quantizer was taken off.

    Raises:
        GraphError: if the network has no activation quantizer.
        DataError: if the data is empty, not finite, the same number everywhere, or does not fit.
    """
    everywhere = quantizer_nodes(network)
    if not everywhere:
        raise GraphError("network", "has no activation quantizer", remedy="call mj.quantize(network, ...) first")
    fixed = fixed_quantizers(network, everywhere)
    places = {node: q for node, q in everywhere.items() if q not in fixed and not (keep and q.calibrated)}
    found = batches(data) if samples is None else first(batches(data), samples)
    look = _Look(network, places)
    with unquantized(network), look:
        for inputs, _ in track(found, "calibrate", total=found.samples):
            look.take(inputs, run(network, inputs))
    look.check()
    notes = [Skipped(_name(node), NOT_FINITE) for node in look.unbounded]
    for node in look.unbounded:
        lift(node)
    network.recompile()
    ranges, more = set_ranges(network, look.values(), rule)
    record = Calibrated(found.name, rule_name(rule), look.samples, ranges, (*notes, *more))
    network.history.append(record)
    return record


class _Look:
    """What is seen in one pass: a histogram of each value, whether it is finite, and whether any input differs.

    Args:
        network: the network.
        places: its quantizers by their nodes.
    """

    def __init__(self, network: Network, places: dict[Node, Quantizer]) -> None:
        self.network = network
        self.places = places
        self.seen = {node: Histogram() for node in places}
        self.unbounded: dict[Node, None] = {}
        self.samples = 0
        self._inputs: dict[int, tuple[float, float]] = {}
        self._output_is_finite = True
        self._hooks = contextlib.ExitStack()
        self._turns: dict[nn.Module, list[Node]] = {}
        for node, quantizer in places.items():
            self._turns.setdefault(quantizer, []).append(node)

    def __enter__(self) -> None:
        """Look at every value."""
        for quantizer in self._turns:
            self._hooks.enter_context(quantizer.register_forward_pre_hook(self._value))

    def __exit__(self, *_: object) -> None:
        """Look no longer."""
        self._hooks.close()

    def _value(self, quantizer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A quantizer that stands on several values sees them in the order of the network, again in each batch."""
        node = self._turns[quantizer].pop(0)
        self._turns[quantizer].append(node)
        try:
            self.seen[node].update(inputs[0])
        except DataError:
            if not inputs[0].numel():
                raise
            self.unbounded[node] = None

    def take(self, inputs: tuple[Any, ...], outputs: Any) -> None:
        """Note what went in and came out."""
        self.samples += count(inputs)
        for at, tensor in enumerate(_real(inputs)):
            low, high = (end.item() for end in torch.aminmax(tensor.detach()))
            before = self._inputs.get(at, (low, high))
            self._inputs[at] = min(low, before[0]), max(high, before[1])
        self._output_is_finite &= all(bool(torch.isfinite(tensor).all()) for tensor in _real(outputs))

    def values(self) -> dict[Quantizer, Values]:
        """What each quantizer saw, infinite values left out."""
        groups: dict[Quantizer, list[Node]] = {}
        for node, histogram in self.seen.items():
            if histogram.seen and node not in self.unbounded:
                groups.setdefault(self.places[node], []).append(node)
        return {quantizer: self._together(nodes) for quantizer, nodes in groups.items()}

    def _together(self, nodes: list[Node]) -> Values:
        merged = Histogram()
        for node in nodes:
            merged.merge(self.seen[node])
        return Values(merged.distribution(), {node: self.seen[node].distribution() for node in nodes})

    def check(self) -> None:
        """See that there were values that a range can be taken from.

        Raises:
            DataError: if not.
        """
        read = [node.all_input_nodes[0].name for node in self.unbounded]
        inputs = [node.name for node in self.network.graph.nodes if node.op == "placeholder"]
        if read and (not self._output_is_finite or set(read) & set(inputs)):
            raise DataError(read[0], "the values hold NaN or infinity", remedy="find the first layer that gives them")
        ends = list(self._inputs.values())
        if ends and all(low == high for low, high in ends):
            told = ", ".join(f"{low:g}" for low, _ in ends)
            fact = f"gives {', '.join(inputs)} the same number everywhere ({told}), so that no range can be told"
            raise DataError("data", fact, remedy="calibrate with inputs as the network is to get them")


def _real(values: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(values)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel()]


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
    """Set the range of each quantizer by a rule, and take those off under which a part of a concatenation would be lost.

    Args:
        network: with quantizers.
        known: what is known of each quantizer's values.
        rule: how a range is chosen.

    Returns:
        The ranges, and what is noted about them.
    """
    ranges, notes, own = [], [], {}
    for quantizer, values in known.items():
        first_node = next(iter(values.alone))
        found = _range(_name(first_node), values.together, rule, quantizer)
        parts = values.alone if len(values.alone) > 1 else {}
        alone = {node: _range(_name(node), part, rule, quantizer) for node, part in parts.items()}
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


def _name(node: Node) -> str:
    return str(node.target).removeprefix("quantizers.")
