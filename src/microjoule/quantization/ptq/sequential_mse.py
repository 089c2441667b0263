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

import torch
from torch import Tensor

from microjoule.execution.kept import Fitted
from microjoule.execution.reconstruct import ROWS, Look
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import weight_rows
from microjoule.numerics.affine import affine_from_range, along
from microjoule.numerics.output_error import least_output_error_range
from microjoule.quantization.layer_fit import Method, Problem, fit_layers
from microjoule.records.facts import Reconstructed


def sequential_mse(
    network: Network,
    data: Any,
    *,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
    folder: str | Path | None = None,
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

    Returns:
        Each layer's error before, with the ranges that it had, and after.

    Raises:
        GraphError: if no weight is quantized.
        DataError: if the data is empty, not finite, or does not fit.
        FileError: if the folder holds layers of another run, or cannot be written.
    """
    return fit_layers(network, data, _fit, Method("sequential MSE", {}), Look(samples, rows, seed, folder))


def _fit(problem: Problem) -> Fitted:
    quantizer = problem.rows.layer.quantizer
    assert quantizer is not None
    before = problem.error_now()
    scheme, wanted = quantizer.scheme, (problem.wanted * problem.scale).flatten(0, 1)
    scale_of = _scale_of(problem.rows.layer)
    low, high = least_output_error_range(wanted.float(), problem.known.second, scheme, scale_of=scale_of)
    shape = quantizer.affine.scale.shape
    quantizer.set_affine(affine_from_range(low.reshape(shape), high.reshape(shape), scheme))
    chosen = problem.on_grid()
    integers = chosen.wanted.round().maximum(chosen.low).minimum(chosen.high)
    solved = chosen.solved(integers)
    affine = quantizer.affine
    return Fitted(solved.integers, solved.bias, before, solved.error_after, affine.scale, affine.zero_point)


def _scale_of(layer: Layer) -> Tensor:
    """(out,), the index of the scale of each output."""
    assert layer.quantizer is not None
    affine, weight = layer.quantizer.affine, layer.stored_weight
    numbers = torch.arange(affine.scale.numel(), device=weight.device).reshape(affine.scale.shape)
    shaped = along(numbers, weight, affine.scheme).expand(weight.shape)
    return weight_rows(layer, shaped)[:, :, 0].flatten()
