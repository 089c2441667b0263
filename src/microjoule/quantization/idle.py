"""A scale for a value that is 0 in all that is known of it.

No range can be taken from it, and yet the scale counts: the biases of the layers that read the value are whole numbers
of s_x s_w, so a scale of 1 would round 0.3 to the nearest hundredth or tenth. Here s_x is such that the largest bias is
2^16 of these steps,

    s_x = max |b| / (2^16 max s_w)

far finer than the grid of the output, and what the value could hold is then still about as large as the bias over the
weights: as much as would matter, if other data should bring it to life.
"""

import torch

from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import grid_under

STEPS = 2**16
"""Of the sum's grid, that the largest bias becomes: 2^8 for each step of an output of 8 bits."""

REASON = "it is 0 in all the data, so its range is a guess"


def range_of_zeros(network: Network, quantizer: Quantizer) -> float:
    """The largest value to be held, where nothing but 0 was seen; 1 where no layer with a bias reads it."""
    found = []
    for layer in network.layers:
        if layer.quantizer is None or layer.bias is None or not layer.quantizer.calibrated:
            continue
        if grid_under(network, layer.node.all_input_nodes[0]) is quantizer:
            found.append((layer.bias.detach().abs().max() / layer.quantizer.affine.scale.max()).item() / STEPS)
    scale = min((one for one in found if one > 0), default=0.0)
    return scale * quantizer.scheme.grid.steps if scale > torch.finfo(torch.float32).tiny else 1.0
