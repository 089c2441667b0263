"""Quantizers whose grid no data changes: of operators that give values of one interval, and of stored operands."""

from collections.abc import Mapping

from torch.fx import Node

from microjoule.costs.target import FIXED
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer


def fixed_quantizers(network: Network, places: Mapping[Node, Quantizer]) -> set[Quantizer]:
    """Those that got their grid when they were placed: each value that they stand on is such an operator's or stored.

    Args:
        network: the network.
        places: its quantizers by their nodes.
    """
    free = {q for node, q in places.items() if not _is_fixed(network, node.all_input_nodes[0])}
    return {quantizer for quantizer in places.values() if quantizer.calibrated} - free


def _is_fixed(network: Network, node: Node) -> bool:
    return node.op == "get_attr" or kind(network.module, node) in FIXED
