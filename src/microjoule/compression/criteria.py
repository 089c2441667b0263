"""Criteria by which channels are chosen: each gives the order in which the units of a group go.

What every number of units then loses follows from the order in closed form (`numerics.elimination`), and what is left
is fitted anew in the same way, so that criteria differ in nothing but which channels stay.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from microjoule.compression.readers import reading_layers
from microjoule.errors import SettingError
from microjoule.execution.gates import gate_gradients
from microjoule.graph.channels import ChannelGroup
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import columns_of, weight_rows
from microjoule.numerics.elimination import Reader
from microjoule.numerics.importance import fisher, geometric_median, norms, order_of, taylor
from microjoule.numerics.selection import lasso_order, matching_order, redundancy_order

CRITERIA = ("elimination", "lasso", "matching", "norm", "taylor", "fisher", "geometric_median", "redundancy")
"""All that there are; the first is what is used if none is named."""

BY_READERS: Mapping[str, Callable[[Sequence[Reader]], list[int]]] = {
    "lasso": lasso_order,
    "matching": matching_order,
    "redundancy": redundancy_order,
}
"""What go by the layers that read a group's units."""

BY_GATES: Mapping[str, Callable[[Tensor], Tensor]] = {"taylor": taylor, "fisher": fisher}
"""What go by gradients of gates."""


def check_criterion(criterion: str) -> None:
    """See whether there is such a criterion.

    Raises:
        SettingError: if there is none.
    """
    if criterion not in CRITERIA:
        raise SettingError("criterion", f"is {criterion!r}", remedy=f"use one of {', '.join(CRITERIA)}")


def gates_for(
    criterion: str, network: Network, groups: Sequence[ChannelGroup], data: Any, *, samples: int | None = None
) -> dict[str, Tensor]:
    """The gradients of gates that a criterion needs, by layer path, (samples, in_channels); none for most.

    Args:
        criterion: one of `CRITERIA`.
        network: in floating point, in evaluation mode.
        groups: of that network; gates are on what reads them.
        data: inputs, in any form that `batches` takes.
        samples: how many to use; None for all.

    Raises:
        SettingError: if it needs them, and the network does not give scores of classes, or a layer that reads a group
            has no axis of samples before all others.
    """
    read = {path for group in groups for path in group.readers}
    layers = [layer for layer in reading_layers(network) if layer.path in read]
    return gate_gradients(network, data, layers, samples=samples) if criterion in BY_GATES else {}


def order_by(
    criterion: str,
    network: Network,
    group: ChannelGroup,
    problems: Sequence[Reader],
    gates: Mapping[str, Tensor],
) -> list[int] | None:
    """The order in which a group's units go, all but the last one; None for elimination, which finds it by itself.

    Args:
        criterion: one of `CRITERIA`.
        network: the network.
        group: of that network.
        problems: its readers.
        gates: from `gates_for`.
    """
    if criterion in BY_READERS:
        return BY_READERS[criterion](problems)
    if criterion in BY_GATES:
        return order_of(BY_GATES[criterion](_gradients(group, gates)))
    if criterion == "norm":
        return order_of(norms([*_made(network, group), *_read(network, group)]))
    if criterion == "geometric_median":
        return order_of(geometric_median(_made(network, group)))
    return None


def _gradients(group: ChannelGroup, gates: Mapping[str, Tensor]) -> Tensor:
    """(samples, units), by a gate on all that a unit is, in all layers that read it."""
    total = []
    for path in group.readers:
        if path in gates:
            units = [gates[path][:, list(unit)].sum(1) for unit in group.member(path, "in").channels]
            total.append(torch.stack(units, 1))
    return torch.stack(total).sum(0)


def _made(network: Network, group: ChannelGroup) -> list[Tensor]:
    """The weights that make each unit, (units, weights), of each layer that makes them."""
    found = []
    for path in group.makers:
        layer = network.layer(path)
        rows = layer.by_output(layer.stored_weight.detach()).flatten(1)
        units = group.member(path, "out").channels
        found.append(pad_sequence([rows[list(unit)].flatten() for unit in units], batch_first=True))
    return found


def _read(network: Network, group: ChannelGroup) -> list[Tensor]:
    """The weights that read each unit, likewise; a depthwise layer's count where it makes the units."""
    found = []
    for path in group.readers:
        layer = network.layer(path)
        if layer.in_channels > layer.groups:
            units = [_columns(layer, unit) for unit in group.member(path, "in").channels]
            found.append(pad_sequence(units, batch_first=True))
    return found


def _columns(layer: Layer, channels: Sequence[int]) -> Tensor:
    """All weights that read some channels, (weights,)."""
    rows = weight_rows(layer, layer.stored_weight.detach())
    return torch.cat([rows[number][:, columns].flatten() for number, columns in columns_of(layer, channels).items()])
