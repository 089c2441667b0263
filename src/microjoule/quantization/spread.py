"""What a person wants to see of a network's weights and errors: spread by channel, and error by layer."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.run import unquantized, visit
from microjoule.graph.network import Network, takes_network
from microjoule.quantization.range_setting import quantizer_nodes
from microjoule.records.facts import Spread, WeightRanges
from microjoule.records.measured import ErrorsByLayer, LayerError

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST_POWER = 1e-30
"""Stands for a power of 0, so that a ratio in decibel is finite."""


@takes_network
def weight_ranges(network: Network, stage: str) -> WeightRanges:
    """The five numbers of a box plot for each output channel of each layer, as the weights are stored."""
    found: dict[str, tuple[Spread, ...]] = {}
    for layer in network.layers:
        rows = layer.by_output(layer.stored_weight.detach()).flatten(1).float()
        numbers = torch.quantile(rows, torch.tensor(QUARTERS, device=rows.device), dim=1)
        found[layer.path] = tuple(Spread(*channel) for channel in numbers.t().tolist())
    record = WeightRanges(stage, found)
    network.history.append(record)
    return record


@takes_network
@returns
def errors_by_layer(
    network: Network, data: Any, *, samples: int = 32, stage: str = "", device: Device = None
) -> ErrorsByLayer:
    """The signal-to-noise ratio at each quantizer, quantized against floating point on the same inputs.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes.
        samples: how many samples to use.
        stage: which network this is, for the report.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.
    """
    move(network, device)
    places = quantizer_nodes(network)
    signal = dict.fromkeys(places, 0.0)
    noise = dict.fromkeys(places, 0.0)
    seen = 0
    source = first(batches(data, network, batch_size=8), samples)
    for inputs, _ in source:
        exact: dict[Node, Tensor] = {}
        with unquantized(network):
            visit(network, inputs, places, lambda node, value: exact.update({node: value.clone()}))  # noqa: B023

        def compare(node: Node, value: Tensor) -> None:
            reference = exact.pop(node).double()  # noqa: B023
            signal[node] += reference.square().sum().item()
            noise[node] += (value.double() - reference).square().sum().item()

        visit(network, inputs, places, compare)
        seen += source.count(inputs)
    layers = tuple(LayerError(_name(node), _decibel(signal[node], noise[node])) for node in places)
    record = ErrorsByLayer(seen, layers, stage)
    network.history.append(record)
    return record


def _name(node: Node) -> str:
    return str(node.target).removeprefix("quantizers.")


def _decibel(signal: float, noise: float) -> float:
    return 10 * math.log10(max(signal, LEAST_POWER) / max(noise, LEAST_POWER))
