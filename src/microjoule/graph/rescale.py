"""Trading scales between neighbouring layers: the network stays the same, its ranges do not."""

from torch import Tensor
from torch.fx import Node

from microjoule.graph.activation import Activation
from microjoule.graph.edit import bounds_of, clamp_channels, scale_inputs, scale_outputs
from microjoule.graph.families import Family, is_capped
from microjoule.graph.network import Network


def rescale(
    network: Network, families: list[Family], scales: list[Tensor]
) -> tuple[dict[str, tuple[float, float]], tuple[str, ...]]:
    """Divide what each family's first layer gives by a scale, and multiply what its readers do with it, in place.

    Args:
        network: the network, which computes the same function after.
        families: of the network.
        scales: for each family (channels,), > 0.

    Returns:
        For each family its smallest and largest scale, and the activations whose caps are now one a channel.
    """
    capped: list[Node] = []
    for family, scale in zip(families, scales, strict=True):
        scale_outputs(network, family.first, 1 / scale)
        for reader in family.readers:
            scale_inputs(reader.layer, reader.spread(scale))
        capped += _rescale_caps(network, family, scale)
    network.recompile()
    groups = {str(f): (scale.min().item(), scale.max().item()) for f, scale in zip(families, scales, strict=True)}
    return groups, tuple(node.name for node in capped)


def _rescale_caps(network: Network, family: Family, scale: Tensor) -> list[Node]:
    """Divide the bounds of the activations between a layer and its readers by the layer's total scale."""
    done = []
    for node, after in family.activations.items():
        activation = Activation.at(network.module, node)
        if activation is None or not is_capped(activation) or bool((scale == 1).all()):
            continue
        low, high = bounds_of(network, node, scale, after)
        column = scale.reshape(low.shape)
        done.append(clamp_channels(network, node, low / column, high / column))
    return done
