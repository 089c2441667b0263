"""Which layers and values must have their bits chosen together, so that costs add up over what is chosen.

A multiply-accumulate costs by the width of a weight and that of what it is multiplied by. So a layer and the quantizer
that it reads are one group, and so are all layers that read that quantizer; both factors of a matrix product; the
quantizers that a layer writes to where it is called more than once. What a layer reads and what it writes are in two
groups: in a chain such as MobileNetV2's every group is one layer and its input. A sum, a table of energy and most
tables of latency then add up over groups.

Where all candidates have the same width for activations, nothing is tied: each layer is a group of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch.fx import Node

from microjoule.costs.operations import GATES
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer, kind, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import grid_under
from microjoule.quantization.range_setting import quantizer_nodes
from microjoule.records.facts import Placed

Member = tuple[str, str]
"""("layer", its path), or ("value", the path of the layer that makes it, else its name)."""


@dataclass(frozen=True, slots=True)
class BitGroup:
    """What gets its bits at once.

    Args:
        layers: paths of layers; their weights have one width.
        values: as `quantize(layers=...)` names them; they have one width.
    """

    layers: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its first layer, or its first value."""
        return f"layer {self.layers[0]}" if self.layers else f"value {self.values[0]}"


def value_quantizers(network: Network, placed: Placed) -> dict[str, list[Quantizer]]:
    """The quantizers of each value, by the name that `quantize(layers=...)` knows it by.

    Args:
        network: with quantizers.
        placed: by which it got them.
    """
    makers = {grid.name: grid.layer for grid in placed.grids if grid.kind != "weight"}
    found: dict[str, list[Quantizer]] = {}
    for node, quantizer in quantizer_nodes(network).items():
        name = str(node.target).removeprefix("quantizers.")
        found.setdefault(makers.get(name) or name, []).append(quantizer)
    return found


def find_groups(network: Network, values: Mapping[str, list[Quantizer]], *, tied: bool) -> list[BitGroup]:
    """The groups, in the order of the network; each layer with a quantizer is in one, each value in at most one.

    Args:
        network: with quantizers.
        values: as `value_quantizers` finds them.
        tied: whether widths of activations are chosen, too. If not, values are in no group.
    """
    layers: list[Member] = [("layer", layer.path) for layer in network.layers if layer.quantizer is not None]
    if not tied:
        return [BitGroup((path,), ()) for _, path in layers]
    members = [*layers, *(("value", name) for name in values)]
    joined = _joined(members, _ties(network, values))
    return [
        BitGroup(
            tuple(name for what, name in together if what == "layer"),
            tuple(name for what, name in together if what == "value"),
        )
        for together in joined
    ]


def _ties(network: Network, values: Mapping[str, list[Quantizer]]) -> Iterator[list[Member]]:
    """Members that must have their bits chosen together."""
    names: dict[Quantizer, list[Member]] = {}
    for name, quantizers in values.items():
        for quantizer in quantizers:
            names.setdefault(quantizer, []).append(("value", name))
    yield from names.values()
    for node in network.graph.nodes:
        layer = Layer.at(network.module, node)
        if layer is not None:
            mine: list[Member] = [] if layer.quantizer is None else [("layer", layer.path)]
            yield mine + _read(network, node.all_input_nodes[:1], names)
        elif kind(network.module, node) in {"matmul", "attention", *GATES}:
            yield _read(network, tensor_inputs(node), names)


def _read(network: Network, inputs: Iterable[Node], names: Mapping[Quantizer, list[Member]]) -> list[Member]:
    grids = (grid_under(network, node) for node in inputs)
    return [member for grid in grids if grid is not None for member in names.get(grid, [])]


def _joined(members: Iterable[Member], ties: Iterable[list[Member]]) -> list[list[Member]]:
    """Members that any ties connect, in the order of their first."""
    together = {member: [member] for member in members}
    for tie in ties:
        for other in tie[1:]:
            one, two = together[tie[0]], together[other]
            if one is not two:
                one += two
                together |= dict.fromkeys(two, one)
    order = {member: place for place, member in enumerate(together)}
    found = {id(group): sorted(group, key=order.__getitem__) for group in together.values()}
    return list(found.values())
