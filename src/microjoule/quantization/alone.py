"""One quantizer at a time, at any width: the rest of the network computes in floating point."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from microjoule.errors import GraphError, SettingError
from microjoule.execution.run import unquantized
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine, affine_from_range
from microjoule.numerics.ranges import RangeRule
from microjoule.quantization.range_setting import quantizer_nodes
from microjoule.quantization.simulate import set_range_by
from microjoule.records.facts import Placed

KINDS = ("weight", "activation")


@dataclass(frozen=True, slots=True)
class Site:
    """A quantizer and where it stands.

    Args:
        name: the layer's path for a weight, the quantizer's name for an activation.
        kind: "weight" or "activation".
        path: of the layer that holds the weight or makes the value; empty if no layer does.
        layer: the layer of a weight, None for an activation.
    """

    name: str
    kind: str
    path: str
    quantizer: Quantizer
    layer: Layer | None


def sites(network: Network, kinds: Sequence[str] = KINDS, *, calibrated: bool = True) -> list[Site]:
    """Every quantizer of some kinds, in the order of the network, each once.

    Args:
        network: with quantizers.
        kinds: "weight", "activation", or both.
        calibrated: whether all must have their ranges.

    Raises:
        SettingError: for a kind that there is not, or none.
        GraphError: if there is no such quantizer, or one has no range.
    """
    if not kinds or any(kind not in KINDS for kind in kinds):
        raise SettingError("kinds", f"is {tuple(kinds)!r}", remedy=f"choose from {KINDS!r}")
    found: dict[Quantizer, Site] = {}
    for site in _all(network):
        if site.kind in kinds:
            found.setdefault(site.quantizer, site)
    if not found:
        raise GraphError("network", f"has no quantizer on any {' or '.join(kinds)}", remedy="call mj.quantize first")
    for site in found.values():
        if calibrated and not site.quantizer.calibrated:
            raise GraphError(site.name, "has a quantizer without a range", remedy="call mj.calibrate(network, data)")
    return list(found.values())


def _all(network: Network) -> Iterator[Site]:
    makers = _makers(network)
    on_values = quantizer_nodes(network)
    on_weights = {layer.node: (layer, layer.quantizer) for layer in network.layers}
    for node in network.graph.nodes:
        if node in on_values:
            name = str(node.target).removeprefix("quantizers.")
            yield Site(name, "activation", makers.get(name, ""), on_values[node], None)
        layer, quantizer = on_weights.get(node, (None, None))
        if layer is not None and quantizer is not None:
            yield Site(layer.path, "weight", layer.path, quantizer, layer)


def _makers(network: Network) -> dict[str, str]:
    """Activation quantizer -> path of the layer that makes its value, as the latest placement tells."""
    placed = [record for record in network.history if isinstance(record, Placed)]
    return {grid.name: grid.layer for grid in placed[-1].grids if grid.kind != "weight"} if placed else {}


def at_width(site: Site, bits: int, rule: RangeRule) -> Affine:
    """The grid that a quantizer would have at a width.

    At its own width it is the one that it has. At another, an activation keeps its range, and a weight gets a new one,
    since the range with the least error is narrower with fewer bits.

    Args:
        site: the quantizer.
        bits: of the grid.
        rule: chooses the range of a weight.

    Raises:
        SettingError: for a width that the grid cannot have.
    """
    own = site.quantizer.affine
    if bits == own.grid.bits:
        return own
    scheme = replace(own.scheme, grid=replace(own.grid, bits=bits))
    if site.layer is not None:
        made = Quantizer(scheme).to(own.scale.device)
        set_range_by(made, site.layer, rule)
        return made.affine
    high = (own.grid.qmax - own.zero_point) * own.scale
    low = -high if own.scheme.symmetric else (own.grid.qmin - own.zero_point) * own.scale
    return affine_from_range(low, high, scheme)


@contextlib.contextmanager
def alone(network: Network, site: Site, affine: Affine) -> Iterator[None]:
    """Within it, the network computes in floating point but for one quantizer, which has a grid of its own."""
    quantizer, own, integers = site.quantizer, site.quantizer.affine, site.quantizer.integers
    with unquantized(network):
        quantizer.enabled = True
        try:
            if affine.scale is not own.scale:
                quantizer.set_affine(affine)
            yield
        finally:
            quantizer.set_affine(own)
            if integers is not None:
                quantizer.hold(integers)
