"""GPTQ: round one input's weights after another, and let those that are not rounded yet make up for the error.

A layer loses (w - w*) A (w - w*)^T by weights w instead of w*, A the second moments of its inputs. Once the weights of
input j are rounded, the best the later ones can do is to move by

    -(w_j - q_j) / U_jj  U_j,   U the Cholesky factor of A^-1 = U^T U,

in closed form. What comes out is then improved by coordinate descent: each integer in turn becomes the best one for
what the others are, until none moves.

Source: Frantar et al. 2023, GPTQ, https://arxiv.org/abs/2210.17323, section 3; the descent: Behdin et al. 2023,
QuantEase, https://arxiv.org/abs/2309.01885, section 3.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microjoule.execution.device import Device, move, returns
from microjoule.execution.fitted import Fitted
from microjoule.execution.reconstruct import ROWS, Look
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.least_squares import damped, in_units, inverse_root
from microjoule.quantization.layer_fit import RIDGE, Method, Problem, fit_layers
from microjoule.records.facts import Reconstructed

BLOCK = 64
"""Inputs whose changes are gathered before all later ones hear of them: the same result, in larger products."""

# The equations --------------------------------------------------------------------------------------------------------


def compensated(wanted: Tensor, second: Tensor, *, low: Tensor, high: Tensor) -> Tensor:
    """Round input after input, later ones making up for the error.

    Args:
        wanted: (groups, outputs, inputs), in steps of the grid.
        second: (groups, inputs, inputs), positive definite: A.
        low: the smallest integer, (groups, outputs, inputs).
        high: the largest, (groups, outputs, inputs).

    Returns:
        (groups, outputs, inputs), integers.
    """
    factor = inverse_root(second).to(wanted)
    left, integers = wanted.clone(), torch.empty_like(wanted)
    inputs = wanted.shape[2]
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        errors = torch.empty_like(wanted[:, :, start:end])
        for j in range(start, end):
            integers[:, :, j] = left[:, :, j].round().maximum(low[:, :, j]).minimum(high[:, :, j])
            error = (left[:, :, j] - integers[:, :, j]) / factor[:, j, j, None]
            left[:, :, j:end] -= error[..., None] * factor[:, j, None, j:end]
            errors[:, :, j - start] = error
        left[:, :, end:] -= errors @ factor[:, start:end, end:]
    return integers


def descended(integers: Tensor, wanted: Tensor, second: Tensor, *, low: Tensor, high: Tensor, sweeps: int) -> Tensor:
    """Move each integer to the best one for what the others are, until none moves.

    Args:
        integers: (groups, outputs, inputs), to start from.
        wanted: the same shape, in steps.
        second: (groups, inputs, inputs): A.
        low: the smallest integer, (groups, outputs, inputs).
        high: the largest, (groups, outputs, inputs).
        sweeps: how many times to go through all inputs at most.

    Returns:
        (groups, outputs, inputs), integers whose error is not above that of the start.
    """
    found, diagonal = integers.clone(), second.diagonal(dim1=1, dim2=2)
    slope = (found - wanted) @ second
    for _ in range(sweeps):
        before = found.clone()
        for start in range(0, found.shape[2], BLOCK):
            part = slice(start, min(start + BLOCK, found.shape[2]))
            old, near = found[:, :, part].clone(), slope[:, :, part]
            for j in range(part.start, part.stop):
                at = j - start
                best = (found[:, :, j] - near[:, :, at] / diagonal[:, j, None]).round()
                best = best.maximum(low[:, :, j]).minimum(high[:, :, j])
                near += (best - found[:, :, j])[..., None] * second[:, None, j, part]
                found[:, :, j] = best
            moved = found[:, :, part] - old
            slope[:, :, : part.start] += moved @ second[:, part, : part.start]
            slope[:, :, part.stop :] += moved @ second[:, part, part.stop :]
        if torch.equal(before, found):
            break
    return found


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
@returns
def gptq(
    network: Network,
    data: Any,
    *,
    samples: int | None = None,
    rows: int = ROWS,
    damping: float = 0.01,
    sweeps: int = 20,
    ranges: bool = False,
    ridge: float = RIDGE,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Reconstructed:
    """Round every quantized weight for good, in place, layer after layer, biases fitted along.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        damping: what is added to A's diagonal, as a share of it.
        sweeps: of the coordinate descent, at most; 0 leaves it out.
        ranges: choose the range of each weight anew before, as `sequential_mse` does.
        ridge: how firmly the weights that are rounded hold on to the trained ones, as a share of each input's mean
            square; they are first fitted to the inputs as the layers before now make them.
        seed: of the places.
        folder: keeps each layer as soon as it is done; the same call then goes on where it was interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        Each layer's error before (rounded to nearest) and after.

    Raises:
        GraphError: if no weight is quantized.
        DataError: if the data is empty, not finite, or does not fit.
        FileError: if the folder holds layers of another run, or cannot be written.
    """

    move(network, device)
    settings: dict[str, Any] = {"damping": damping, "sweeps": sweeps}
    fit = partial(solve, **settings)
    method = Method("GPTQ", settings, ranges, ridge)
    return fit_layers(network, data, fit, method, Look(samples, rows, seed, folder))


def solve(problem: Problem, *, damping: float = 0.01, sweeps: int = 20) -> Fitted:
    """Round one layer.

    Args:
        problem: the layer's.
        damping: as in `gptq`.
        sweeps: as there.
    """
    second = in_units(damped(problem.known.second, damping))
    bounds = {"low": problem.low.float(), "high": problem.high.float()}
    wanted = problem.wanted.float()
    start = compensated(wanted, second, **bounds)
    return problem.solved(descended(start, wanted, second.float(), sweeps=sweeps, **bounds).double())
