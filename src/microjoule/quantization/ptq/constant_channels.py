"""Fold constant channels: what never changes belongs into the next bias.

A trained layer often has output channels whose weights have decayed to nothing. Such a channel is the constant c =
f(bias), with f the activation, and a layer that reads it computes

    W x + b  ==  W' x + (b + sum over the kernel of W_c c),   W' = W with the weights W_c that read it set to 0.

Nothing held those weights in check in training, so they may be huge: one inert filter then sets the range of a whole
tensor and leaves a step or two of its grid for all the others. Equalization cannot see it, since a range of 0 stands
on one side.

The equality is exact where the reader pads nothing (or c = 0, as with a negative bias before ReLU): at a border,
padding is 0 and not c.

Source: Wegman and Zadeck 1991, Constant Propagation with Conditional Branches, https://doi.org/10.1145/103135.103136,
section 2, applied to channels. Measured for this project on MobileNetV1 and V2 (8-bit weights, one scale a tensor:
0.2 % and 1.9 % top-1 before, 15 % and 77 % after).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.activation import Activation
from microjoule.graph.edit import bias_of, per_input, set_bias, set_weight
from microjoule.graph.geometry import meets_zeros
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer, arguments, kind
from microjoule.graph.shapes import Shape, shapes
from microjoule.graph.walk import is_private
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import ConstantChannelsFolded, Skipped

NEGLIGIBLE = 2.0**-24
"""Half a unit in the last place of float32: weights this far below the layer's largest vanish beside them."""

UNCHANGED = ("dropout", "identity", "max_pool", "upsample_nearest")
"""Operators that leave a constant channel at its constant, padding or not."""

SPATIAL = ("max_pool", "upsample_nearest")
"""Those that take the dimensions after the second for space."""


# The equation ---------------------------------------------------------------------------------------------------------


def constant_outputs(weight: Tensor) -> Tensor:
    """Which output channels do not depend on the input: (out,), bool.

    Args:
        weight: (out, in, *kernel).
    """
    largest = weight.abs().flatten(1).amax(1)
    return largest <= NEGLIGIBLE * largest.max()


def contribution(weight: Tensor, constants: Tensor) -> Tensor:
    """What constant inputs add to each output, (out,).

    Args:
        weight: (out, in, *kernel).
        constants: broadcasts against (out, in, 1, ...): the constant of each input, 0 for one that varies.
    """
    return (weight.double() * constants.double()).flatten(1).sum(1).to(weight.dtype)


# Where it applies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constants:
    """Which channels of a value are constant, and at what.

    Args:
        where: (channels,), bool.
        value: (channels,), 0 for a channel that varies.
        padded: whether zero padding was added since; the constant then does not hold at the border.
        last: whether channels are the last of more than two dimensions, as a linear layer makes them of tokens.
    """

    where: Tensor
    value: Tensor
    padded: bool = False
    last: bool = False


@takes_network
def fold_constant_channels(network: Network) -> ConstantChannelsFolded:
    """Fold every constant channel into its readers, in place; the network computes the same function after.

    Returns:
        How many channels each layer no longer reads, and where folding would not have been exact.
    """
    known: dict[Node, Constants] = {}
    folded: dict[str, int] = {}
    skipped: list[Skipped] = []
    dims = shapes(network)
    for node in list(network.graph.nodes):
        layer = Layer.at(network.module, node)
        if layer is None:
            constants = _passed_on(network, node, known, dims)
            if constants is not None:
                known[node] = constants
            continue
        if not is_private(network, layer):
            continue
        source = known.get(node.all_input_nodes[0])
        if source is not None and _reads_channels(layer, source, dims):
            folded[layer.path] = done = _fold(network, layer, source)
            left = int(source.where.sum()) - done
            if left:
                reason = f"{left} constant channels are not 0 and meet zero padding"
                skipped.append(Skipped(layer.path, reason))
        constants = _made_by(network, node, last=layer.kind == "linear" and len(dims[node]) > 2)
        if constants is not None:
            known[node] = constants
    record = ConstantChannelsFolded({path: n for path, n in folded.items() if n}, tuple(skipped))
    network.history.append(record)
    return record


def _reads_channels(layer: Layer, source: Constants, dims: dict[Node, Shape]) -> bool:
    """Whether the channels that a layer reads are those that constants are known of."""
    flat = len(dims[layer.node.all_input_nodes[0]]) == 2
    return len(source.where) == layer.in_channels and (flat or source.last == (layer.kind == "linear"))


def _made_by(network: Network, node: Node, *, last: bool) -> Constants | None:
    """The constant channels that a layer makes; its statistics are set to what is now known for certain."""
    layer = Layer.at(network.module, node)
    assert layer is not None
    where = constant_outputs(layer.by_output(layer.stored_weight.detach()))
    if not bool(where.any()):
        return None
    bias, weight = bias_of(layer), layer.by_output(layer.stored_weight.detach())
    set_weight(layer, layer.in_layout(weight * ~where.reshape(-1, *[1] * (weight.dim() - 1))))
    if layer.path in network.preactivations:
        before = network.preactivations[layer.path]
        network.preactivations[layer.path] = Gaussian(
            torch.where(where, bias, before.mean), torch.where(where, torch.zeros_like(before.std), before.std)
        )
    return Constants(where, torch.where(where, bias, torch.zeros_like(bias)), last=last)


def _passed_on(network: Network, node: Node, known: dict[Node, Constants], dims: dict[Node, Shape]) -> Constants | None:
    """Constants of a value that is no layer's, from those of its input."""
    inputs = [n for n in node.all_input_nodes if n.op != "get_attr"]
    if len(inputs) != 1 or inputs[0] not in known:
        return None
    before, name = known[inputs[0]], kind(network.module, node)
    activation = Activation.at(network.module, node)
    if activation is not None:
        low, high = (torch.as_tensor(bound).to(before.value) for bound in (activation.low, activation.high))
        value = torch.clamp(before.value, low.flatten(), high.flatten())
        return replace(before, value=torch.where(before.where, value, torch.zeros_like(value)))
    if name in UNCHANGED and not (before.last and name in SPATIAL):
        return before
    if name == "pad" and not before.last:
        return replace(before, padded=True) if _pads_with_zeros(node, dims) else None
    return None


def _pads_with_zeros(node: Node, dims: dict[Node, Shape]) -> bool:
    """Whether an operator lays zeros around each channel, and neither another number nor more channels."""
    given = arguments(node)
    zeros = given.get("mode", "constant") == "constant" and not given["value"]
    return zeros and len(given["pad"]) <= 2 * (len(dims[node]) - 2)


# Applying it ----------------------------------------------------------------------------------------------------------


def _fold(network: Network, layer: Layer, source: Constants) -> int:
    """Fold what can be folded exactly into one reader; returns how many channels."""
    exact = source.value == 0 if source.padded or meets_zeros(layer) else torch.ones_like(source.where)
    where = source.where & exact
    weight = layer.by_output(layer.stored_weight.detach())
    added = contribution(weight, per_input(layer, torch.where(where, source.value, torch.zeros_like(source.value))))
    if bool((added != 0).any()):
        set_bias(network, layer, bias_of(layer) + added)
    kept = torch.where(where, torch.zeros_like(source.value), torch.ones_like(source.value))
    set_weight(layer, layer.in_layout(weight * per_input(layer, kept)))
    return int(where.sum())
