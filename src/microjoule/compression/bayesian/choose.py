"""Which units go, by their scores: all above a threshold, or as many as a budget of parameters asks for."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.compression.bayesian.gate import Gate
from microjoule.compression.bayesian.posterior import Posterior, of_inputs, unit_of
from microjoule.graph.ops import Layer

PART = 200
"""One in so many units goes at a time; more at a time would go by sizes that are no longer true."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What stays.

    Args:
        threshold: the score from which on a unit goes.
        units: group -> (units,), which stay; one at least.
        inputs: layer -> (in_channels,), which single inputs stay, among those of units that stay; one at least.
    """

    threshold: float
    units: dict[str, Tensor]
    inputs: dict[str, Tensor]

    @property
    def masks(self) -> dict[str, Tensor]:
        """All of them, by the names of the posterior's gates."""
        return {**self.units, **{of_inputs(path): keep for path, keep in self.inputs.items()}}


def choose(posterior: Posterior, threshold: float) -> Choice:
    """What stays at a threshold; of units and inputs that all are above it, the best one."""
    units = {name: _below(_score(gate), threshold) for name, gate in posterior.units.items()}
    inputs = {path: _below(_score(gate), threshold) for path, gate in posterior.inputs.items()}
    return _settled(posterior, Choice(threshold, units, inputs))


def choose_within(posterior: Posterior, compression: float) -> Choice:
    """What stays where units go until the parameters are `compression` times fewer.

    With log alpha as the score, 1 / alpha is the signal that a unit passes on over its noise. Units go in the order of
    the parameters that they cost over their share of their group's signal: the greedy rule for a knapsack. Both change
    with what goes, so a few units go at a time. If not even one unit a group is few enough, one a group stays.
    """
    wanted = posterior.network.parameter_count / compression
    scores = {name: _score(gate) for name, gate in posterior.gates.items()}
    choice = choose(posterior, math.inf)
    while parameters_left(posterior, choice) > wanted:
        worth = _worth(scores, sizes_of(posterior, choice), choice.masks)
        going = [worth[name][keep] for name, keep in choice.masks.items() if int(keep.sum()) > 1]
        if not going:
            break
        ranked = torch.cat(going).sort(descending=True).values
        threshold = float(ranked[len(ranked) // PART])
        units = {name: keep & _below(worth[name], threshold) for name, keep in choice.units.items()}
        inputs = {path: keep & _below(worth[of_inputs(path)], threshold) for path, keep in choice.inputs.items()}
        choice = _settled(posterior, Choice(threshold, units, inputs))
    return choice


def _worth(scores: dict[str, Tensor], sizes: dict[str, float], masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """How much is won for how little: log(size) - log(share of the signal); infinite for what is gone."""
    found = {}
    for name, keep in masks.items():
        share = -scores[name] - (-scores[name][keep]).logsumexp(0)
        found[name] = (math.log(max(1.0, sizes[name])) - share).masked_fill(~keep, math.inf)
    return found


def _score(gate: Gate) -> Tensor:
    return gate.score().detach().cpu()


def _below(score: Tensor, threshold: float) -> Tensor:
    keep = score < threshold
    keep[score.argmin()] = True
    return keep


def _settled(posterior: Posterior, choice: Choice) -> Choice:
    """A choice without units of which no input stays, and without inputs of units that go."""
    units, inputs = dict(choice.units), dict(choice.inputs)
    for path in posterior.inputs:
        name, group = next((name, group) for name, group in posterior.groups.items() if path in group.readers)
        of, score = unit_of(group, posterior.layers[path]), _score(posterior.inputs[path])
        if len(group.readers) == 1:
            alive = units[name] & (torch.bincount(of[inputs[path]], minlength=group.size)[: group.size] > 0)
            best = of[score.argmin()]
            units[name] = alive if bool(alive.any()) else torch.arange(group.size) == best
        there = stays(units[name], of)
        inputs[path] = inputs[path] & there
        if not bool(inputs[path].any()):
            inputs[path][score.masked_fill(~there, torch.inf).argmin()] = True
    return Choice(choice.threshold, units, inputs)


def stays(units: Tensor, of: Tensor) -> Tensor:
    """(in_channels,): which inputs stay because their unit does; inputs of no unit do.

    Args:
        units: (units,), which stay.
        of: (in_channels,), from `unit_of`.
    """
    return torch.cat([units, units.new_ones(1)])[of]


def sizes_of(posterior: Posterior, choice: Choice) -> dict[str, float]:
    """How many parameters go with one unit of each group, or one single input, of what stays."""
    sizes: dict[str, float] = {}
    for name, group in posterior.groups.items():
        sizes[name] = 0.0
        left = max(1, int(choice.units[name].sum()))
        for member in group.members:
            if member.side in ("in", "out"):
                layer = posterior.layers[member.path]
                sizes[name] += _weights_left(posterior, choice, layer) / left
    for path, keep in choice.inputs.items():
        sizes[of_inputs(path)] = _weights_left(posterior, choice, posterior.layers[path]) / max(1, int(keep.sum()))
    return sizes


def parameters_left(posterior: Posterior, choice: Choice) -> int:
    """How many parameters the network has with what stays."""
    total = posterior.network.parameter_count
    for layer in posterior.layers.values():
        total -= layer.stored_weight.numel() - _weights_left(posterior, choice, layer)
        total -= 0 if layer.bias is None else layer.out_channels - _kept(posterior, choice, layer, "out")
    return total - _norms_lost(posterior, choice)


def _weights_left(posterior: Posterior, choice: Choice, layer: Layer) -> int:
    makes, reads = _kept(posterior, choice, layer, "out"), _kept(posterior, choice, layer, "in")
    if layer.path in choice.inputs:
        reads = int(choice.inputs[layer.path].sum())
    depthwise = layer.groups == layer.in_channels > 1
    return makes * (1 if depthwise else reads // layer.groups) * layer.stored_weight.shape[2:].numel()


def _kept(posterior: Posterior, choice: Choice, layer: Layer, side: str) -> int:
    """How many of a layer's channels stay on a side."""
    channels = layer.out_channels if side == "out" else layer.in_channels
    for name, group in posterior.groups.items():
        for member in group.members:
            if (member.path, member.side) == (layer.path, side):
                gone = (
                    len(places) for places, keep in zip(member.channels, choice.units[name], strict=True) if not keep
                )
                channels -= sum(gone)
    return channels


def _norms_lost(posterior: Posterior, choice: Choice) -> int:
    """Parameters of norms whose channels go."""
    lost = 0
    for name, group in posterior.groups.items():
        for member in group.members:
            if member.side == "norm":
                module = posterior.network.module.get_submodule(member.path)
                pairs = zip(member.channels, choice.units[name], strict=True)
                gone = sum(len(places) for places, keep in pairs if not keep)
                lost += gone * len(list(module.parameters(recurse=False)))
    return lost
