"""AdaRound: learn for each weight whether to round it up or down.

Nearest rounding makes each weight's error smallest, not the output's. With h in [0, 1] for each weight,

    W~ = s clip(floor(W / s) + h(V), n, p),   h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1),

    minimise over V   E || f(y) - f(W~ x^ + b) ||^2  +  lambda sum (1 - |2 h(V) - 1|^beta),

y the output in floating point, x^ the input from the quantized network so far, f the activation that follows. The
second term is left out at first and then, with beta falling from 20 to 2, drives every h to 0 or 1.

Without f the first term is (W~ - W*) A (W~ - W*)^T, A the second moments of x^: an iteration then costs a product with
A, however much data there is. With f it is taken over a few rows at a time.

Two choices are ours. The first term is divided by what rounding at random loses, output by output, so that lambda means
the same in every layer; and W, where W~ starts from, is the least-squares refit for x^, not the trained weight alone.

Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization,
https://arxiv.org/abs/2004.10568, equations 20 to 25.
"""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from microjoule.errors import SettingError
from microjoule.execution.device import Device, move, returns
from microjoule.execution.fitted import Fitted
from microjoule.execution.reconstruct import ROWS, Look
from microjoule.graph.activation import Activation
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.least_squares import best_bias
from microjoule.quantization.layer_fit import Method, Problem, fit_layers
from microjoule.quantization.soft_rounding import (
    REGULARIZER,
    SHIFT,
    STRETCH,
    beta_at,
    inverse_rectified_sigmoid,
    rectified_sigmoid,
    regularizer_slope,
)
from microjoule.records.facts import Reconstructed

RATE = 0.01
"""Of Adam."""

BATCH = 512
"""Rows of one iteration with an activation."""

# The equations --------------------------------------------------------------------------------------------------------


class Slope(Protocol):
    """How the first term changes with the weights."""

    def __call__(self, weights: Tensor, iteration: int) -> Tensor:
        """Its derivative.

        Args:
            weights: (groups, out, in), in steps, not rounded yet.
            iteration: from 0.
        """


def slope_by_moments(wanted: Tensor, second: Tensor) -> Slope:
    """Of (w - w*) A (w - w*)^T over A's mean diagonal / 12, what a weight rounded to nearest loses on average.

    Args:
        wanted: (groups, out, in): w*.
        second: (groups, in, in): A.
    """
    scaled = 2 * second / (second.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] / 12)
    return lambda weights, _iteration: (weights - wanted) @ scaled


def slope_by_rows(
    inputs: Tensor, targets: Tensor, bias: Tensor, scale: Tensor, bounds: tuple[Tensor, Tensor], *, seed: int
) -> Slope:
    """Of E (clip(W x + b) - clip(y))^2 over the same as in `slope_by_moments`, from a few rows at each iteration.

    Args:
        inputs: (groups, rows, in).
        targets: (groups, rows, out), before the clip.
        bias: (groups, 1, out).
        scale: (groups, out, 1), of a step.
        bounds: of the activation, each (groups, 1, out) or broadcasts so.
        seed: of the choice of rows.
    """
    low, high = bounds
    clipped = targets.maximum(low).minimum(high)
    usual = inputs.square().mean((1, 2))[:, None, None] / 12
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(inputs.shape[1], (ROWS // BATCH, BATCH), generator=generator).to(inputs.device)

    def slope(weights: Tensor, iteration: int) -> Tensor:
        at = chosen[iteration % len(chosen)]
        x = inputs[:, at]
        before = x @ (weights * scale).transpose(1, 2) + bias
        inside = (before > low) & (before < high)
        error = (before.maximum(low).minimum(high) - clipped[:, at]) * inside
        return error.transpose(1, 2) @ x * (2 / (BATCH * scale * usual))

    return slope


def relax(wanted: Tensor, slope: Slope, *, low: Tensor, high: Tensor, iterations: int, weight: float) -> Tensor:
    """Round each weight up or down.

    Args:
        wanted: (groups, out, in), in steps: where to start from, and between which integers to choose.
        slope: of the first term.
        low: the smallest integer, (groups, out, in).
        high: the largest, (groups, out, in).
        iterations: of Adam.
        weight: of the regularizer: lambda.

    Returns:
        (groups, out, in), integers.
    """
    start = wanted.maximum(low).minimum(high)
    below = start.floor()
    v = inverse_rectified_sigmoid(start - below).contiguous()
    adam = torch.optim.Adam([v], lr=RATE, fused=True)
    for iteration in range(iterations):
        sigmoid = torch.sigmoid(v)
        h = (STRETCH * sigmoid + SHIFT).clamp(0, 1)
        change = slope(below + h, iteration)
        beta = beta_at(iteration / iterations)
        if beta is not None:
            change = change + weight * regularizer_slope(h, beta)
        slope_of_v = change * (STRETCH * sigmoid * (1 - sigmoid)) * ((h > 0) & (h < 1))
        v.grad = slope_of_v.contiguous()  # the fused Adam pairs up what lies at the same place in memory
        adam.step()
    return (below + (rectified_sigmoid(v) >= 0.5)).maximum(low).minimum(high)


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
@returns
def adaround(
    network: Network,
    data: Any,
    *,
    iterations: int = 1000,
    activation: bool = True,
    ranges: bool = False,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Reconstructed:
    """Round every quantized weight up or down for good, in place, layer after layer, biases fitted along.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes; labels are not read.
        iterations: for each layer.
        activation: take a clamp (ReLU, ReLU6 ...) that follows a layer into the objective.
        ranges: choose the range of each weight anew before, as `sequential_mse` does.
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        seed: of the places and of the rows of each iteration.
        folder: keeps each layer as soon as it is done; the same call then goes on where it was interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        Each layer's error before (rounded to nearest) and after.

    Raises:
        GraphError: if no weight is quantized.
        SettingError: for less than one iteration.
        DataError: if the data is empty, not finite, or does not fit.
        FileError: if the folder holds layers of another run, or cannot be written.
    """
    move(network, device)
    if iterations < 1:
        raise SettingError("iterations", f"is {iterations}", remedy="give at least 1")

    def fit(problem: Problem) -> Fitted:
        wanted, second = problem.wanted.float(), problem.known.second.float()
        clamp = problem.rows.activation if activation else None
        slope = slope_by_moments(wanted, second) if clamp is None else _slope_through(clamp, problem, seed)
        bounds = {"low": problem.low.float(), "high": problem.high.float()}
        return problem.solved(relax(wanted, slope, iterations=iterations, weight=REGULARIZER, **bounds).double())

    settings = {"iterations": iterations, "activation": activation}
    look = Look(samples, rows, seed, folder, whole=activation)
    return fit_layers(network, data, fit, Method("AdaRound", settings, ranges), look)


def _slope_through(clamp: Activation, problem: Problem, seed: int) -> Slope:
    """The slope with an activation's bounds, which are numbers or one for each channel."""
    rows, scale = problem.rows, problem.scale[:, :, :1].float()
    groups, _, out = rows.targets.shape
    bias = best_bias(problem.wanted * problem.scale, problem.known).float()[:, None]
    bounds = (torch.as_tensor(bound, dtype=torch.float32, device=scale.device) for bound in (clamp.low, clamp.high))
    low, high = (bound.flatten().expand(groups * out).reshape(groups, 1, out) for bound in bounds)
    return slope_by_rows(rows.inputs, rows.targets, bias, scale, (low, high), seed=seed)
