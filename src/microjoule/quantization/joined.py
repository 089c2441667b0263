"""Concatenations whose parts differ so much in size that one grid leaves the small ones nothing.

Boxes of 0 to 640 and scores of 0 to 1 have one step of 2.5 for both, and every score is 0. Where the parts are taken
apart again, or given to something else than sums over all of them, such a concatenation stays in floating point, and
each part keeps the grid that it had before. A layer sums over all parts: rounding a small one to the grid of the large
one adds no more noise to the sum than rounding the large one does.
"""

from collections.abc import Iterator, Mapping

from torch.fx import Node

from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import WEIGHTED, kind
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import PASSING
from microjoule.records.facts import Skipped

STEPS = 8
"""A part with fewer steps than these is lost: 3 bits, some 11 dB for values that are spread like a normal density."""

ELEMENTWISE = frozenset(("add", "sub", "mul", "div", "relu", "relu6", "clamp", "leaky_relu"))
"""Operators after which large parts are still large and small ones small."""

Ranges = Mapping[Node, tuple[float, float]]
"""A quantizer's node -> the smallest and largest value that it is to hold there."""


def separate_joined(network: Network, places: Mapping[Node, Quantizer], ranges: Ranges) -> tuple[Skipped, ...]:
    """Take the quantizers off, in place, under which a part of a concatenation would be lost.

    Args:
        network: with quantizers that have their ranges.
        places: its quantizers by their nodes.
        ranges: the range of each value by itself.

    Returns:
        The concatenations that stay in floating point, and why.
    """
    lifted = {node: reason for node, quantizer in places.items() if (reason := _lost(network, node, quantizer, ranges))}
    for node in list(lifted):
        lifted |= dict.fromkeys(_still_mixed(network, node), f"it holds the parts of {_name(node)} still")
    for node in lifted:
        _give_own_grids(network, places, ranges, places[node], set(lifted))
    for node in lifted:
        lift(node)
    if lifted:
        network.recompile()
    return tuple(Skipped(_name(node), reason) for node, reason in lifted.items())


def lift(node: Node) -> None:
    """Take a quantizer off the value that it stands on."""
    node.replace_all_uses_with(node.all_input_nodes[0])
    node.graph.erase_node(node)


def _lost(network: Network, node: Node, quantizer: Quantizer, ranges: Ranges) -> str | None:
    """Why a concatenation must not have one grid, or None."""
    joined = node.all_input_nodes[0]
    if kind(network.module, joined) != "concat" or not quantizer.calibrated or not _is_taken_apart(network, node):
        return None
    scale = quantizer.affine.scale.max().item()
    widths = {part: ranges[part][1] - ranges[part][0] for part in _parts(network, joined) if part in ranges}
    steps = {part: width / scale for part, width in widths.items() if width > 0}
    least = min(steps, key=steps.__getitem__, default=None)
    if least is None or steps[least] >= STEPS:
        return None
    return f"on one grid {_name(least)} would have {steps[least]:.1f} steps, so its parts keep a grid each"


def _parts(network: Network, joined: Node) -> Iterator[Node]:
    """The quantizers' nodes whose values are joined, concatenations looked through."""
    for part in joined.all_input_nodes:
        node = part
        while kind(network.module, node) in PASSING:
            node = node.all_input_nodes[0]
        source = node.all_input_nodes[0] if kind(network.module, node) == "quantizer" else node
        if kind(network.module, source) == "concat":
            yield from _parts(network, source)
        elif source is not node:
            yield node


def _is_taken_apart(network: Network, node: Node) -> bool:
    """Whether anything but a layer or a product of matrices reads a value."""
    for user in node.users:
        name = kind(network.module, user)
        if name in PASSING or name in ("concat", "quantizer"):
            if _is_taken_apart(network, user):
                return True
        elif name not in WEIGHTED and name != "matmul":
            return True
    return False


def _still_mixed(network: Network, node: Node) -> Iterator[Node]:
    """The quantizers behind that of a concatenation under which its parts would be lost as well."""
    for user in node.users:
        name = kind(network.module, user)
        if name == "quantizer" and _is_taken_apart(network, user):
            yield user
        if name in PASSING or name in ELEMENTWISE or name == "quantizer":
            yield from _still_mixed(network, user)


def _give_own_grids(
    network: Network, places: Mapping[Node, Quantizer], ranges: Ranges, shared: Quantizer, lifted: set[Node]
) -> None:
    """Where values shared a grid with a concatenation that is lifted, each gets one of its own.

    Other concatenations still share one with their parts.
    """
    sharing = [node for node, quantizer in places.items() if quantizer is shared and node not in lifted]
    group = {node: {node} for node in sharing}
    for node in sharing:
        joined = node.all_input_nodes[0]
        if kind(network.module, joined) != "concat":
            continue
        for part in _parts(network, joined):
            if part in group:
                together = group[node] | group[part]
                group |= dict.fromkeys(together, together)
    for members in {id(one): one for one in group.values()}.values():
        known = [ranges[node] for node in members if node in ranges]
        made = Quantizer(shared.scheme).to(network.device)
        if known:
            low, high = min(low for low, _ in known), max(high for _, high in known)
            made.set_range(*(shared.affine.scale.new_tensor(end) for end in (low, high)))
        for node in members:
            set_submodule(network.module, str(node.target), made)


def _name(node: Node) -> str:
    return str(node.target).removeprefix("quantizers.")
