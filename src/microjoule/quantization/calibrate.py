"""Activation ranges from data: one streamed pass that keeps statistics only, then a rule."""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, GraphError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import run, unquantized
from microjoule.execution.survey import Survey, keep_ranges, watched
from microjoule.graph.network import Network, takes_network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.numerics.statistics import Histogram
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.joined import lift
from microjoule.quantization.range_setting import Values, name_at, quantizer_nodes, rule_name, set_ranges
from microjoule.records.facts import Calibrated, Skipped

NOT_FINITE = "it holds infinity or NaN, which nothing of the output shows: it stays in floating point"


@takes_network
@returns
def calibrate(
    network: Network,
    data: Any,
    *,
    rule: RangeRule = min_max,
    samples: int | None = None,
    keep: bool = False,
    device: Device = None,
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
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The ranges, and where none could be found or a quantizer was taken off.

    Raises:
        GraphError: if the network has no activation quantizer.
        DataError: if the data is empty, not finite, the same number everywhere, or does not fit.
    """
    move(network, device)
    everywhere = quantizer_nodes(network)
    if not everywhere:
        raise GraphError("network", "has no activation quantizer", remedy="call mj.quantize(network, ...) first")
    fixed = fixed_quantizers(network, everywhere)
    places = {node: q for node, q in everywhere.items() if q not in fixed and not (keep and q.calibrated)}
    found = first(batches(data, network), samples)
    look, survey = _Look(network, places), Survey(network, found.name)
    with unquantized(network), look:
        for inputs, _ in track(watched(found, survey), "calibrate", total=found.samples):
            look.take(inputs, run(network, inputs))
    look.check()
    if not found.drawn:
        survey.warn()
        keep_ranges(network, survey.ranges)
    notes = [Skipped(name_at(node), NOT_FINITE) for node in look.unbounded]
    for node in look.unbounded:
        lift(node)
    network.recompile()
    ranges, more = set_ranges(network, look.values(), rule)
    record = Calibrated(found.name, rule_name(rule), survey.samples, ranges, (*notes, *more))
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
