"""Which channels must go together: what is removed at once, from which layers, and what cannot be removed, and why.

Labels of channels are carried through the graph (`microjoule.graph.label_trace`). Channels whose labels meet, in
additions, gates, depthwise layers, norms or where axes are split, are one unit; units that are made, read and passed on
at the same places are a group.

Source: Fang et al. 2023, DepGraph: Towards Any Structural Pruning, https://arxiv.org/abs/2301.12900, section 3, for the
problem; labels in place of its dependency graph, so that reshapes, shuffles and concatenations need no cases.
"""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.graph.edit import per_input
from microjoule.graph.label_trace import Trace
from microjoule.graph.label_walk import Place
from microjoule.graph.labels import Value
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.records.facts import Skipped


@dataclass(frozen=True, slots=True)
class Member:
    """What a group's units are at one place.

    Args:
        path: of a layer, another module, or a stored tensor.
        side: "out" for channels that a layer makes, "in" for those that it reads; "norm" for batch and group norms,
            "slope" for PReLU, "constant" for a stored tensor: each has one number or several for every channel.
        channels: for each unit, its channels there; of a constant, places along its axis of channels.
    """

    path: str
    side: str
    channels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels of several layers that go together.

    Args:
        name: the path of the layer that makes the first of them, and "#2", "#3" for further groups of that layer.
        size: how many units there are; a unit is what is removed at once.
        members: every place that holds them.
    """

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def makers(self) -> tuple[str, ...]:
        """The layers that make the channels."""
        return tuple(member.path for member in self.members if member.side == "out")

    @property
    def readers(self) -> tuple[str, ...]:
        """The layers that read them."""
        return tuple(member.path for member in self.members if member.side == "in")

    def member(self, path: str, side: str) -> Member:
        """The member at a place.

        Raises:
            KeyError: if there is none.
        """
        for member in self.members:
            if (member.path, member.side) == (path, side):
                return member
        raise KeyError((path, side))


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """All channels of a network: what can be removed, and what cannot.

    Args:
        groups: in the order of the network.
        fixed: layers of which some channels must stay, and why.
    """

    groups: tuple[ChannelGroup, ...]
    fixed: tuple[Skipped, ...]

    def group(self, name: str) -> ChannelGroup:
        """The group of a name.

        Raises:
            KeyError: if there is none.
        """
        return {group.name: group for group in self.groups}[name]


@takes_network
def channel_groups(network: Network) -> ChannelGroups:
    """Find which channels of a network go together; the network stays as it is.

    Returns:
        The groups, and the layers of which channels must stay, with the reason.
    """
    return groups_of(Trace(network))[0]


def groups_of(trace: Trace) -> tuple[ChannelGroups, dict[str, list[int]]]:
    """The groups that a trace holds, and for each group its units as classes of labels."""
    first = trace.labels.first_fixed(trace.classes).tolist()
    reasons = {number: trace.labels.fixed[index][1] for number, index in enumerate(first) if index >= 0}
    found = _channels_by_class(trace)
    groups, classes, alone = [], {}, set()
    counts: dict[str, int] = defaultdict(int)
    for units in _alike(trace, found, set(reasons)):
        path = next(path for path, side in found[units[0]] if side == "out")
        if len(units) == 1:
            alone |= set(units)
            continue
        counts[path] += 1
        name = path if counts[path] == 1 else f"{path}#{counts[path]}"
        members = tuple(
            Member(path, side, tuple(tuple(found[unit][path, side]) for unit in units))
            for path, side in found[units[0]]
        )
        groups.append(ChannelGroup(name, len(units), members))
        classes[name] = units
    for unit in alone:
        reasons[unit] = "its channels go all together, so that nothing would be left"
    return ChannelGroups(tuple(groups), _fixed(trace, reasons)), classes


def _channels_by_class(trace: Trace) -> dict[int, dict[Place, list[int]]]:
    """For each class the places that hold it, in the order of the network, and its channels there."""
    found: dict[int, dict[Place, list[int]]] = defaultdict(dict)
    for place, value in trace.places.items():
        for channel, number in enumerate(axis_classes(trace, value).tolist()):
            found[number].setdefault(place, []).append(channel)
    return found


def axis_classes(trace: Trace, value: Value) -> Tensor:
    """The classes of a value along the one axis on which they depend; of one class alone, that one."""
    numbers = trace.classes[value.labels]
    axis = channel_axis_of(trace, value)
    for other in reversed(range(numbers.dim())):
        if other != axis:
            numbers = numbers.select(other, 0)
    return numbers.reshape(-1)


def channel_axis_of(trace: Trace, value: Value) -> int | None:
    """The axis on which the classes of a value depend; None if they are all one."""
    numbers = trace.classes[value.labels]
    for axis in value.varying:
        if bool((numbers != numbers.narrow(axis, 0, 1)).any()):
            return axis
    return None


def _alike(trace: Trace, found: dict[int, dict[Place, list[int]]], fixed: set[int]) -> list[list[int]]:
    """The free classes that a layer makes, those together that are at the same places and in the same values."""
    passed: dict[int, list[int]] = defaultdict(list)
    for index, value in enumerate(pytree.tree_leaves(list(trace.values.values()))):
        if isinstance(value, Value):
            for number in trace.classes[value.labels].unique().tolist():
                passed[number].append(index)
    alike: dict[tuple[tuple[Place, ...], tuple[int, ...]], list[int]] = defaultdict(list)
    for number, places in found.items():
        if number not in fixed and any(side == "out" for _, side in places):
            alike[tuple(places), tuple(passed[number])].append(number)
    return list(alike.values())


def _fixed(trace: Trace, reasons: dict[int, str]) -> tuple[Skipped, ...]:
    """The layers that make channels which must stay."""
    skipped = []
    for (path, side), value in trace.places.items():
        if side != "out":
            continue
        stay = [reasons.get(number) for number in trace.classes[value.labels].tolist()]
        for reason in dict.fromkeys(one for one in stay if one is not None):
            count = stay.count(reason)
            skipped.append(
                Skipped(path, reason if count == len(stay) else f"{count} of {len(stay)} channels: {reason}")
            )
    return tuple(skipped)


def parameters_of(network: Network, group: ChannelGroup) -> int:
    """How many parameters of layers, norms and slopes belong to a group's channels, as rows or as columns."""
    layers = {layer.path: layer for layer in network.layers}
    held = {(member.path, member.side): [c for unit in member.channels for c in unit] for member in group.members}
    total = 0
    for (path, side), channels in held.items():
        if side in ("norm", "slope"):
            total += len(channels) * len(list(network.module.get_submodule(path).parameters(recurse=False)))
        elif side == "out" or (side == "in" and (path, "out") not in held):
            total += _touched(layers[path], held.get((path, "out"), []), held.get((path, "in"), []))
    return total


def _touched(layer: Layer, outs: list[int], ins: list[int]) -> int:
    """The weights in some rows or columns, and the biases of those rows."""
    weight = layer.by_output(layer.stored_weight.detach())
    columns = torch.zeros(layer.in_channels, dtype=torch.bool)
    columns[ins] = True
    rows = torch.zeros(layer.out_channels, dtype=torch.bool)
    rows[outs] = True
    touched = per_input(layer, columns).expand(weight.shape) | rows.reshape(-1, *[1] * (weight.dim() - 1))
    return int(touched.sum()) + (len(outs) if layer.bias is not None else 0)
