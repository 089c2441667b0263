"""Sequential MSE: ranges of weights, layer after layer, for what rounding does to each layer's output.

The range with the least squared error of the weights themselves treats all alike. With A the second moments of what the
layer reads once the layers before it are quantized, and w* the weights that would serve it best there, a range costs

    (q - w*) A (q - w*)^T,    q the weights rounded to nearest within the range,

output by output; the cheapest of 21 shares of the whole range is taken, scale by scale. Nothing is learned.

Source: Nagel et al. 2020, https://arxiv.org/abs/2004.10568, section 3.2 for the quadratic form; ranges by a layer's
output, layer after layer: Nagel et al. 2021, https://arxiv.org/abs/2106.08295, section 3.1 (MSE ranges).
"""

from pathlib import Path
from typing import Any

from microjoule.execution.device import Device, move, returns
from microjoule.execution.fitted import Fitted
from microjoule.execution.reconstruct import ROWS, Look
from microjoule.graph.network import Network, takes_network
from microjoule.quantization.layer_fit import Method, Problem, fit_layers
from microjoule.records.facts import Reconstructed


@takes_network
@returns
def sequential_mse(
    network: Network,
    data: Any,
    *,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Reconstructed:
    """Choose the ranges of quantized weights by their layers' outputs and round to nearest for good, in place.

    Biases are fitted along.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        seed: of the places.
        folder: keeps each layer as soon as it is done; the same call then goes on where it was interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        Each layer's error before, with the ranges that it had, and after.

    Raises:
        GraphError: if no weight is quantized.
        DataError: if the data is empty, not finite, or does not fit.
        FileError: if the folder holds layers of another run, or cannot be written.
    """
    move(network, device)
    method = Method("sequential MSE", {}, ranges=True)
    return fit_layers(network, data, _nearest, method, Look(samples, rows, seed, folder))


def _nearest(problem: Problem) -> Fitted:
    return problem.solved(problem.wanted.round().maximum(problem.low).minimum(problem.high))
