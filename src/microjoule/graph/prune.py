"""Removing channels for real: smaller weights, norms, constants and numbers of channels, in place.

A network without some channels computes what it computed with the weights that read them set to 0 (`mask_channels`).

Source: He, Zhang, Sun 2017, Channel Pruning for Accelerating Very Deep Neural Networks,
https://arxiv.org/abs/1707.06168, section 3, for what removing a channel takes with it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from microjoule.errors import SettingError
from microjoule.graph.channels import ChannelGroups, channel_axis_of, groups_of
from microjoule.graph.edit import per_input, set_weight
from microjoule.graph.label_trace import Trace
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer, arguments
from microjoule.graph.prune_arguments import Left, smaller_arguments
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.pruned import ChannelsRemoved


@takes_network
def remove_channels(network: Network, removed: Mapping[str, Collection[int]]) -> ChannelsRemoved:
    """Remove units of channel groups, in place: layers, norms and constants become smaller.

    Args:
        network: in floating point; batch norms may stand in it.
        removed: for each group (`mj.channel_groups`) by its name, the units to remove; groups not named stay.

    Returns:
        What was removed, and the channels of each layer before and after.

    Raises:
        SettingError: for a group or unit that is not there, or if nothing would be left of a group.
    """
    trace = Trace(network)
    groups, classes = groups_of(trace)
    numbers = _numbers(groups, classes, removed)
    left = Left(trace, numbers)
    before = network.parameter_count
    widths = {path: layer.out_channels for path, layer in trace.layers.items()}
    smaller = [(node, smaller_arguments(left, node)) for node in network.graph.nodes]
    stays = {place: left.places(value) for place, value in trace.places.items() if left.axis(value) is not None}
    axes = {place: channel_axis_of(trace, trace.places[place]) for place in stays}
    for node, made in smaller:
        if made is not None:
            _set_arguments(node, *made)
    for path, layer in trace.layers.items():
        _shrink_layer(network, layer, stays.get((path, "in")), stays.get((path, "out")))
    for (path, side), keep in stays.items():
        if side == "constant":
            _shrink_constant(network, path, int(axes[path, side] or 0), keep)
        elif side in ("norm", "slope"):
            _shrink_norm(network.module.get_submodule(path), keep)
    network.recompile()
    widths_after = {path: network.layer(path).out_channels for path in trace.layers}
    units = {group.name: (group.size, group.size - len(set(removed.get(group.name, ())))) for group in groups.groups}
    record = ChannelsRemoved(
        units={name: (size, rest) for name, (size, rest) in units.items() if rest < size},
        channels={path: (widths[path], rest) for path, rest in widths_after.items() if rest < widths[path]},
        parameters_before=before,
        parameters_after=network.parameter_count,
    )
    network.history.append(record)
    return record


def mask_channels(network: Network, removed: Mapping[str, Collection[int]]) -> None:
    """Set the weights that read removed channels to 0, in place; the network then computes what is left after removal.

    Args:
        network: in floating point.
        removed: as `remove_channels` takes it.

    Raises:
        SettingError: as `remove_channels`.
    """
    trace = Trace(network)
    groups, classes = groups_of(trace)
    left = Left(trace, _numbers(groups, classes, removed))
    for path, layer in trace.layers.items():
        keep = left.places(trace.places[path, "in"])
        if not bool(keep.all()):
            weight = layer.by_output(layer.stored_weight.detach())
            columns = per_input(layer, keep.to(weight.device, weight.dtype))
            set_weight(layer, layer.in_layout(weight * columns))


def _numbers(
    groups: ChannelGroups, classes: Mapping[str, list[int]], removed: Mapping[str, Collection[int]]
) -> list[int]:
    """The classes of labels that are to go."""
    sizes = {group.name: group.size for group in groups.groups}
    found = []
    for name, units in removed.items():
        if name not in sizes:
            known = ", ".join(list(sizes)[:5]) or "none"
            raise SettingError("removed", f"there is no group {name!r}", remedy=f"mj.channel_groups names: {known}")
        wrong = [unit for unit in units if not 0 <= unit < sizes[name]]
        if wrong:
            fact = f"group {name} has units 0 to {sizes[name] - 1}, not {wrong[0]}"
            raise SettingError("removed", fact, remedy="take numbers of units, not of channels")
        if len(set(units)) == sizes[name]:
            raise SettingError("removed", f"nothing would be left of group {name}", remedy="leave one unit at least")
        found += [classes[name][unit] for unit in sorted(set(units))]
    return found


# Applying it ----------------------------------------------------------------------------------------------------------


def _set_arguments(node: Node, target: Any, args: dict[str, Any]) -> None:
    """Give a node other arguments, by the names of its operator's schema."""
    node.target = target
    node.args, node.kwargs = (), {}
    positional = [argument.name for argument in target._schema.arguments if not argument.kwarg_only]
    node.args = tuple(args[name] for name in positional)
    node.kwargs = {name: value for name, value in args.items() if name not in positional}


def _shrink_layer(network: Network, layer: Layer, ins: Tensor | None, outs: Tensor | None) -> None:
    """Leave away rows and columns of a layer's weight.

    With one input a group, groups go; with more, the same places go in every group.
    """
    if ins is None and outs is None:
        return
    groups, channels = layer.groups, layer.in_channels
    weight = layer.by_output(layer.stored_weight.detach())
    if ins is not None and groups == channels > 1:
        groups = int(ins.sum())
    elif ins is not None:
        weight = weight[:, ins.reshape(groups, -1)[0]]
    if outs is not None:
        weight = weight[outs]
        if layer.bias is not None and layer.bias_name is not None:
            _replace(layer.owner, layer.bias_name, layer.bias.detach()[outs])
        if layer.path in network.preactivations:
            known = network.preactivations[layer.path]
            network.preactivations[layer.path] = Gaussian(known.mean[outs], known.std[outs])
    if layer.kind == "conv_transpose":
        grouped = weight.unflatten(0, (groups, -1))
        weight = grouped.transpose(1, 2).flatten(0, 1)
    _replace(layer.owner, layer.weight_name, weight)
    _set_sizes(layer, groups)


def _set_sizes(layer: Layer, groups: int) -> None:
    """Say how many channels there are where a layer says so."""
    if layer.node.op != "call_module":
        for node in layer.node.graph.nodes:
            if node.target is layer.node.target and node.args[1].target == layer.path and "groups" in arguments(node):
                _set_arguments(node, node.target, {**arguments(node), "groups": groups})
        return
    shape = layer.stored_weight.shape
    ins, outs = (shape[1] * groups, shape[0]) if layer.kind != "conv_transpose" else (shape[0], shape[1] * groups)
    owner: Any = layer.owner
    if layer.kind == "linear":
        owner.in_features, owner.out_features = ins, outs
    else:
        owner.in_channels, owner.out_channels, owner.groups = ins, outs, groups


def _shrink_norm(module: Any, keep: Tensor) -> None:
    """Leave away the channels of a norm or of a slope a channel."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        stored = getattr(module, name, None)
        if stored is not None:
            _replace(module, name, stored.detach()[keep])
    count = int(keep.sum())
    if isinstance(module, nn.GroupNorm):
        module.num_groups = module.num_groups * count // module.num_channels
        module.num_channels = count
    elif isinstance(module, nn.PReLU):
        module.num_parameters = count
    else:
        module.num_features = count


def _shrink_constant(network: Network, path: str, axis: int, keep: Tensor) -> None:
    """Leave away places of a stored tensor."""
    above, _, name = path.rpartition(".")
    owner = network.module.get_submodule(above)
    stored: Tensor = getattr(owner, name)
    _replace(owner, name, stored.detach().index_select(axis, keep.nonzero().flatten().to(stored.device)))


def _replace(owner: nn.Module, name: str, value: Tensor) -> None:
    """Store another tensor under a name: a parameter stays one, and learns if it did."""
    stored = getattr(owner, name)
    made = value.contiguous().clone()
    setattr(owner, name, nn.Parameter(made, stored.requires_grad) if isinstance(stored, nn.Parameter) else made)
