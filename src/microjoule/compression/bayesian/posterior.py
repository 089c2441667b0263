"""Gates on what layers read, and noise on their weights, beside a network that learns.

Every group of channels has one gate; each layer that reads the channels multiplies them by it, so a unit whose gate is
0 can be removed without a change. Where one unit has become several inputs of a linear layer, by flattening, each of
these has a gate of its own as well. The graph stays as it is: gates and noise are hooks of the layers' modules.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from microjoule.compression.bayesian.gate import Gate
from microjoule.compression.bayesian.normal_jeffreys import NoisyWeight
from microjoule.errors import GraphError
from microjoule.graph.channels import ChannelGroup, channel_groups
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer

NOISY = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers whose weights can have noise."""

HOLDER = "posterior"
"""Where gates and noise are in the network's module while it learns."""


class Posterior:
    """What is learned beside the weights.

    Args:
        network: the network, which has the gates until `detach`.
        make: units -> a gate.
        noisy: whether weights have noise, too.

    Raises:
        GraphError: if no channels can be removed.
    """

    def __init__(self, network: Network, make: Callable[[int], Gate], *, noisy: bool) -> None:
        self.network = network
        self.layers = {layer.path: layer for layer in network.layers if layer.node.op == "call_module"}
        found = channel_groups(network).groups
        self.groups = {group.name: group for group in found if self._read_by(group)}
        if not self.groups:
            remedy = "mj.channel_groups(network).fixed says why"
            raise GraphError("network", "has no channels that can be removed", remedy=remedy)
        self.units = {name: make(group.size) for name, group in self.groups.items()}
        self.inputs = {path: make(self.layers[path].in_channels) for path in self._flattened()}
        noise = [path for path, layer in self.layers.items() if noisy and isinstance(layer.owner, NOISY)]
        self.noise = {path: NoisyWeight(self.layers[path].stored_weight.detach()) for path in noise}
        self._handles: list[RemovableHandle] = []
        self._attach()

    def _read_by(self, group: ChannelGroup) -> list[str]:
        """The layers that read a group and do not pass its channels on, if all of them are modules."""
        paths = [path for path in group.readers if path not in group.makers]
        return paths if all(path in self.layers for path in paths) else []

    def _flattened(self) -> list[str]:
        """The linear layers for which a unit is several inputs."""
        return [
            path
            for group in self.groups.values()
            for path in self._read_by(group)
            if self.layers[path].kind == "linear" and len(group.member(path, "in").channels[0]) > 1
        ]

    def _attach(self) -> None:
        device = self.network.device
        holder = nn.ModuleList([*self.units.values(), *self.inputs.values(), *self.noise.values()]).to(device)
        self.network.module.add_module(HOLDER, holder.train(self.network.module.training))
        for path, layer in self.layers.items():
            factors = self.factors(layer)
            if factors:
                self._handles.append(layer.owner.register_forward_pre_hook(_gating(factors, layer.kind)))
            if path in self.noise:
                self._handles.append(layer.owner.register_forward_hook(_noising(self.noise[path])))

    def factors(self, layer: Layer) -> list[tuple[Gate, Tensor]]:
        """The gates on a layer's inputs, each with the unit of every input, as `unit_of` tells it."""
        found = []
        for name, group in self.groups.items():
            if layer.path in self._read_by(group):
                found.append((self.units[name], unit_of(group, layer).to(self.network.device)))
        if layer.path in self.inputs:
            found.append((self.inputs[layer.path], torch.arange(layer.in_channels, device=self.network.device)))
        return found

    @property
    def gates(self) -> dict[str, Gate]:
        """All gates: by their group's name, or, of single inputs, by `of_inputs` of their layer's path."""
        return {**self.units, **{of_inputs(path): gate for path, gate in self.inputs.items()}}

    def divergence(self, sizes: dict[str, float] | None = None) -> Tensor:
        """(): of all gates and weights.

        Args:
            sizes: name of a gate -> what each of its factors counts; 1 for all if None.
        """
        gates = self.gates.items()
        total = sum(gate.divergence().sum() * (1.0 if sizes is None else sizes[name]) for name, gate in gates)
        weights = (noise.divergence(self.layers[path].stored_weight) for path, noise in self.noise.items())
        return torch.as_tensor(total) + sum(weights)

    def detach(self) -> None:
        """Let the network be as it was, but for its weights."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        delattr(self.network.module, HOLDER)


def of_inputs(path: str) -> str:
    """The name of the gate on single inputs of a layer; a group may have the layer's path as its name."""
    return f"{path} inputs"


def unit_of(group: ChannelGroup, layer: Layer) -> Tensor:
    """(in_channels,): the unit that each input of a reader belongs to; `group.size` for those of none."""
    units = torch.full((layer.in_channels,), group.size)
    for unit, channels in enumerate(group.member(layer.path, "in").channels):
        units[list(channels)] = unit
    return units


def spread(values: Tensor, units: Tensor) -> Tensor:
    """A value a unit as a value an input; inputs of no unit get 1.

    Args:
        values: (samples, units).
        units: (in_channels,), from `unit_of`.

    Returns:
        (samples, in_channels).
    """
    return torch.cat([values, values.new_ones(len(values), 1)], 1)[:, units]


def _gating(factors: list[tuple[Gate, Tensor]], kind: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def gated(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *rest = args
        for gate, units in factors:
            values = spread(gate(len(x)), units)
            ones = [1] * (x.dim() - 2)
            shape = (len(values), *ones, values.shape[1]) if kind == "linear" else (*values.shape, *ones)
            x = x * values.reshape(shape)
        return (x, *rest)

    return gated


def _noising(noise: NoisyWeight) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def noisy(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + noise.noise(layer, args[0]) if noise.training else output

    return noisy
