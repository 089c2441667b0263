"""Activation ranges from data: one streamed pass that keeps statistics only, then a rule."""

import contextlib
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from microjoule.errors import DataError, GraphError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import run, unquantized
from microjoule.execution.survey import Survey, keep_ranges, watched
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.numerics.statistics import Histogram
from microjoule.records.facts import Calibrated, RangeFound


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

    Args:
        network: a network with quantizers.
        data: inputs, in any form that `batches` takes; labels are not read.
        rule: how a range is chosen from the statistics of a value.
        samples: how many samples to use; None for all.
        keep: leave quantizers that have a range as they are.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        GraphError: if the network has no activation quantizer.
        DataError: if the data is empty, not finite, or does not fit.
    """
    move(network, device)
    everywhere = quantizer_nodes(network)
    places = {node: q for node, q in everywhere.items() if not (keep and q.calibrated)}
    if not everywhere:
        raise GraphError("network", "has no activation quantizer", remedy="call mj.quantize(network, ...) first")
    statistics: dict[nn.Module, Histogram] = {quantizer: Histogram() for quantizer in places.values()}

    def look(quantizer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        statistics[quantizer].update(inputs[0])

    found = first(batches(data, network), samples)
    survey = Survey(network, found.name)
    with unquantized(network), contextlib.ExitStack() as hooks:
        for quantizer in statistics:
            hooks.enter_context(quantizer.register_forward_pre_hook(look))
        for inputs, _ in track(watched(found, survey), "calibrate", total=found.samples):
            run(network, inputs)
    if not found.drawn:
        _check(network, survey)
    ranges: dict[Quantizer, RangeFound] = {}
    for node, quantizer in places.items():
        if quantizer not in ranges:
            ranges[quantizer] = _set(
                quantizer, statistics[quantizer], rule, str(node.target).removeprefix("quantizers.")
            )
    record = Calibrated(found.name, rule_name(rule), survey.samples, tuple(ranges.values()))
    network.history.append(record)
    return record


def _check(network: Network, survey: Survey) -> None:
    """See whether the data can be what the network will see."""
    if survey.constant is not None:
        fact = f"holds nothing but the value {survey.constant:g}, from which no range follows"
        raise DataError(survey.name, fact, remedy="give real inputs")
    survey.warn()
    keep_ranges(network, survey.ranges)


def _set(quantizer: Quantizer, seen: Histogram, rule: RangeRule, name: str) -> RangeFound:
    distribution = seen.distribution()
    low, high = (bound.squeeze(0).float() for bound in rule(distribution, quantizer.scheme))
    quantizer.set_range(low, high)
    return RangeFound(name, low.item(), high.item(), distribution.low.item(), distribution.high.item())


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
