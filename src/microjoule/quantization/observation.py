"""Statistics of layers' outputs from data, for networks whose batch norms do not tell them."""

from typing import Any

from torch import Tensor
from torch.fx import Node

from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import visit
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.statistics import Moments
from microjoule.records.facts import StatisticsObserved


@takes_network
@returns
def observe_statistics(
    network: Network, data: Any, *, samples: int | None = None, device: Device = None
) -> StatisticsObserved:
    """Measure mean and standard deviation of what each layer gives, channel by channel, where no batch norm told them.

    What needs batch-norm statistics (`equalize_noise`, `ranges_from_statistics`, `absorb_high_biases`) then works on
    networks that never had any.

    Args:
        network: a network without quantizers; its `preactivations` get an entry for each layer that had none.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many samples to use; None for all.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        DataError: if the data is empty, not finite, or does not fit.
    """
    move(network, device)
    missing = {layer.node: layer for layer in network.layers if layer.path not in network.preactivations}
    moments = {node: Moments(axis=layer.channel_axis) for node, layer in missing.items()}
    found = first(batches(data, network), samples)
    seen = 0

    def look(node: Node, value: Tensor) -> None:
        moments[node].update(value)

    for inputs, _ in track(found, "observe", total=found.samples):
        visit(network, inputs, missing, look)
        seen += found.count(inputs)
    for node, layer in missing.items():
        mean, std = moments[node].mean, moments[node].variance.sqrt()
        network.preactivations[layer.path] = Gaussian(mean.to(layer.stored_weight), std.to(layer.stored_weight))
    record = StatisticsObserved(found.name, seen, tuple(layer.path for layer in missing.values()))
    network.history.append(record)
    return record
