"""Balanced rounding: round weights so that their rounding errors cancel, kernel by kernel and channel by channel.

Rounding each weight to the nearest integer makes each error smallest, but not what the errors do together: inputs
are alike from pixel to pixel, and positive after ReLU, so a kernel's output is off by about the sum of its errors. Of
n errors, each uniform in [-1/2, 1/2] steps, the sum has a standard deviation of sqrt(n / 12). Rounding those few
weights the other way whose error is nearest to a half already brings every sum within half a step.

First the sum over each kernel (one input of one output) is brought within [-1/2, 1/2], then the sum over each output
channel, by one weight in each of those kernels whose sums are nearest to a half: they stay within [-1, 1]. No data, no
iteration.

Source: Guo et al. 2022, SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation,
https://arxiv.org/abs/2202.07471, sections 3.3 and 3.4.
"""

import torch
from torch import Tensor

from microjoule.graph.network import Network, takes_network
from microjoule.numerics.affine import along
from microjoule.records.facts import Skipped
from microjoule.records.rounded import WeightsBalanced

# The equation ---------------------------------------------------------------------------------------------------------


def balance(errors: Tensor) -> Tensor:
    """Which integers to move by one so that each row of errors sums to at most half a step.

    Args:
        errors: (rows, n), rounded minus exact, in steps.

    Returns:
        (rows, n), of -1, 0 and 1: what to add to the integers.
    """
    surplus = torch.round(errors.sum(1, keepdim=True))
    toward = errors * surplus.sign()
    rank = toward.argsort(1, descending=True).argsort(1)
    return torch.where(rank < surplus.abs(), -surplus.sign(), torch.zeros_like(errors))


def balanced(exact: Tensor, *, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Round to integers whose errors cancel over each kernel, and then over each output channel.

    Args:
        exact: (out, in, kernel size), in steps.
        low: (out, in, kernel size), or broadcasts so: the smallest integer allowed.
        high: the same, the largest.

    Returns:
        (out, in, kernel size), integers.
    """
    low, high = torch.as_tensor(low).to(exact), torch.as_tensor(high).to(exact)
    integers = torch.minimum(torch.maximum(torch.round(exact), low), high)
    for move in (_each_kernel, _each_channel):
        errors = integers - exact
        inside = (errors.abs() <= 1).to(exact.dtype)
        integers = torch.minimum(torch.maximum(integers + move(errors * inside), low), high)
    return integers


def _each_kernel(errors: Tensor) -> Tensor:
    return balance(errors.flatten(0, 1)).reshape(errors.shape)


def _each_channel(errors: Tensor) -> Tensor:
    kernels = balance(errors.sum(2))[..., None]
    furthest = (-kernels * errors).argmax(2, keepdim=True)
    return torch.zeros_like(errors).scatter(2, furthest, kernels)


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
def balance_rounding(network: Network) -> WeightsBalanced:
    """Round every quantized weight for good, with errors that cancel, in place.

    Args:
        network: a network with quantized weights.

    Returns:
        The share of weights that are not rounded to the nearest integer, layer by layer.
    """
    moved: dict[str, float] = {}
    skipped: list[Skipped] = []
    for layer in network.layers:
        quantizer = layer.quantizer
        if quantizer is None:
            skipped.append(Skipped(layer.path, "its weights are not quantized"))
            continue
        affine, weight = quantizer.affine, layer.stored_weight.detach()
        zero_point = along(affine.zero_point, weight, affine.scheme)
        exact = weight.double() / along(affine.scale, weight, affine.scheme).double()
        low, high = ((bound - zero_point).expand(weight.shape) for bound in (affine.grid.qmin, affine.grid.qmax))
        rows = [layer.by_output(part)[..., None].flatten(2) for part in (exact, low, high)]
        integers = balanced(rows[0], low=rows[1], high=rows[2]).reshape(layer.by_output(weight).shape)
        moved[layer.path] = (layer.in_layout(integers) != torch.round(exact)).double().mean().item()
        quantizer.hold((layer.in_layout(integers) + zero_point).to(torch.int32))
    record = WeightsBalanced(moved, tuple(skipped))
    network.history.append(record)
    return record
