"""High-bias absorption: move what is always there from one layer's bias into the next.

Where a channel of a layer's output before ReLU is nearly always above c >= 0, ReLU is linear there:

    W2 relu(W1 x + b1) + b2  ==  W2 relu(W1 x + b1 - c) + (b2 + sum over the kernel of W2 c)   wherever W1 x + b1 >= c.

With the batch norm's N(beta, gamma^2), c = max(0, beta - 3 |gamma|) holds for 99.87 % of the values. It shrinks the
range of the activation, which equalization may have made large. A cap after the ReLU (ReLU6) moves down by c as well.
Zero padding would stand for c instead of 0, so a reader that pads is left alone.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.1.3.
"""

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.activation import Activation
from microjoule.graph.edit import bias_of, bounds_of, clamp_channels, per_input, set_bias
from microjoule.graph.families import Family, find_families
from microjoule.graph.geometry import meets_zeros
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import kind
from microjoule.graph.walk import only_user
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import HighBiasesAbsorbed, Skipped

# The equation ---------------------------------------------------------------------------------------------------------


def absorbable(mean: Tensor, std: Tensor, *, sigmas: float = 3.0) -> Tensor:
    """c = max(0, mean - sigmas * std), (channels,).

    Args:
        mean: (channels,), of the values before ReLU.
        std: (channels,), >= 0.
    """
    return torch.clamp(mean - sigmas * std, min=0)


# Where it applies -----------------------------------------------------------------------------------------------------


@takes_network
def absorb_high_biases(network: Network, *, sigmas: float = 3.0) -> HighBiasesAbsorbed:
    """Absorb every high bias that can be absorbed, in place.

    Args:
        network: a network whose batch norms were folded, so that the statistics of layers are known.
        sigmas: how sure it must be that a value is above what is moved.

    Returns:
        The largest bias that moved, by layer; and what stayed, with the reason.
    """
    families, skipped = find_families(network)
    moved: dict[str, float] = {}
    for family in families:
        reason = _cannot_absorb(network, family)
        if reason is not None:
            skipped.append(Skipped(family.first.path, reason))
            continue
        known = network.preactivations[family.first.path]
        cap = bounds_of(network, next(iter(family.activations)), known.mean, 0)[1]
        constant = torch.minimum(absorbable(known.mean, known.std, sigmas=sigmas), cap)
        if bool((constant > 0).any()):
            _absorb(network, family, constant)
            moved[family.first.path] = constant.max().item()
    network.recompile()
    record = HighBiasesAbsorbed(moved, tuple(skipped))
    network.history.append(record)
    return record


def _cannot_absorb(network: Network, family: Family) -> str | None:
    path = family.first.path
    if path not in network.preactivations:
        return "no batch norm says how its output is distributed"
    user = only_user(family.first.node)
    if user is None or list(family.activations) != [user]:
        return "no single ReLU follows it"
    activation = Activation.at(network.module, user)
    assert activation is not None
    if not bool((torch.as_tensor(activation.low) == 0).all()):
        return "the activation after it is no ReLU"
    for node in _between(family):
        name = kind(network.module, node)
        if name not in ("dropout", "reshape"):
            return f"{name or node.target} ({node.name}) stands between it and its readers"
    padded = [reader.layer.path for reader in family.readers if meets_zeros(reader.layer)]
    return f"{padded[0]} pads with zeros" if padded else None


def _between(family: Family) -> list[Node]:
    """The nodes between a family's activation and its readers."""
    ends = {reader.layer.node for reader in family.readers}
    found, todo = [], [user for node in family.activations for user in node.users]
    while todo:
        node = todo.pop()
        if node not in ends:
            found.append(node)
            todo += node.users
    return found


# Applying it ----------------------------------------------------------------------------------------------------------


def _absorb(network: Network, family: Family, constant: Tensor) -> None:
    first, known = family.first, network.preactivations[family.first.path]
    set_bias(network, first, bias_of(first) - constant)
    network.preactivations[first.path] = Gaussian(known.mean - constant, known.std)
    for reader in family.readers:
        layer = reader.layer
        weight = layer.by_output(layer.stored_weight.detach())
        read = per_input(layer, reader.spread(constant, other=0.0))
        set_bias(network, layer, bias_of(layer) + (weight * read).flatten(1).sum(1))
    ((node, after),) = family.activations.items()
    low, high = bounds_of(network, node, constant, after)
    if not bool(torch.isinf(high).all()):
        clamp_channels(network, node, low, high - constant.reshape(high.shape))
