"""What rounding costs, from gradients alone: one backward pass a sample, for every quantizer and every width at once.

Let p be the classes' probabilities and e the rounding error of some values. To second order,

    KL(p(0) || p(e))  =  1/2 e' F e,      F = E[g g'],  g = d(-log p_y) / dx  with y drawn from p itself
                      =  1/2 E[(g' e)^2]

so the inner product of a gradient and an error is enough: F is never formed, and errors that cancel do cancel. Labels
are not read. Where outputs are no scores of classes, g = d(v' y) / dx with random signs v gives E[(g' e)^2] = |J e|^2,
and the estimate is half the squared error of the output. A batch of several samples adds cross terms, which are 0 on
average since its draws are independent.

Source: Martens 2020, New Insights and Perspectives on the Natural Gradient Method, https://arxiv.org/abs/1412.1193; in
quantization: Li et al. 2021, BRECQ, https://arxiv.org/abs/2102.05426, which keeps the diagonal of F.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from microjoule.errors import GraphError
from microjoule.execution.fixed_batch import filled
from microjoule.execution.progress import track
from microjoule.execution.run import to_device, unquantized
from microjoule.execution.signature import part_of, samples_along
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine, fake_quantize
from microjoule.numerics.divergence import are_probabilities, log_probabilities
from microjoule.quantization.alone import Site
from microjoule.quantization.sensitivity import Grid, Reference, output_tensors

Parts = Mapping[Quantizer, Sequence[Tensor]]
"""A quantizer -> the tensors that it rounds: a weight, or a value for each time that it is called."""

Loss = Callable[[Sequence[Tensor]], Tensor]
"""A network's outputs -> (), a sum over samples."""

# The equation ----------------------------------------------------------------


def half_square(gradients: Sequence[Tensor], errors: Sequence[Tensor]) -> float:
    """1/2 (g . e)^2, whose mean over draws of g is 1/2 e' F e.

    Args:
        gradients: parts of g, of any shapes.
        errors: parts of e, of the same shapes.
    """
    parts = (float((g * e).sum(dtype=torch.float64)) for g, e in zip(gradients, errors, strict=True))
    return math.fsum(parts) ** 2 / 2


def drawn_loss(scores: Tensor, *, normalized: bool, generator: torch.Generator) -> Tensor:
    """-log p_y summed over samples, with a class y drawn for each from its own p; ().

    Args:
        scores: (n, classes), logits or probabilities.
        normalized: whether they are probabilities.
        generator: of the draws, on the CPU.
    """
    logarithms = log_probabilities(scores, normalized=normalized)
    drawn = torch.multinomial(logarithms.detach().double().exp().cpu(), 1, generator=generator)
    return -logarithms.gather(1, drawn.to(scores.device)).sum()


def drawn_signs(output: Tensor, generator: torch.Generator) -> Tensor:
    """v . y with v of random signs; ().

    Args:
        output: any shape.
        generator: of the draws, on the CPU.
    """
    signs = torch.randint(0, 2, output.shape, generator=generator) * 2 - 1
    return (signs.to(output) * output).sum()


# Of a network ----------------------------------------------------------------


def estimates(network: Network, grids: Mapping[str, Grid], exact: Reference, *, seed: int = 0) -> dict[str, float]:
    """What each grid alone does to the outputs, estimated: nats a sample, or half a squared error a sample.

    Args:
        network: that holds the quantizers; it runs in floating point, whatever they are set to.
        grids: by any names.
        exact: the samples.
        seed: of the draws.

    Raises:
        GraphError: if no output depends on any of the values by a gradient.
    """
    loss = _loss(exact, torch.Generator().manual_seed(seed))
    weights: dict[Quantizer, list[Tensor]] = {
        site.quantizer: [site.layer.stored_weight] for site, _ in grids.values() if site.layer is not None
    }
    others = {site.quantizer for site, _ in grids.values()} - set(weights)
    fixed = {
        name: [_error(weight.detach(), *grid) for weight in weights[grid[0].quantizer]]
        for name, grid in grids.items()
        if grid[0].quantizer in weights
    }
    totals = dict.fromkeys(grids, 0.0)
    learned = _differentiable([weight for (weight,) in weights.values()])
    with in_evaluation(network.module), unquantized(network), learned, _watched(others) as seen:
        for inputs in track(single_samples(network, exact), "gradients"):
            for values in seen.values():
                values.clear()
            gradients = _gradients(network, inputs, loss, weights | seen)
            for name, grid in grids.items():
                errors = fixed.get(name) or [_error(value.detach(), *grid) for value in seen[grid[0].quantizer]]
                totals[name] += half_square(gradients[grid[0].quantizer], errors)
    return {name: total / exact.samples for name, total in totals.items()}


def _loss(exact: Reference, generator: torch.Generator) -> Loss:
    """What is differentiated: with drawn labels where there are classes, else with drawn signs."""
    if not exact.has_classes:
        return lambda outputs: torch.stack([drawn_signs(output, generator) for output in outputs]).sum()
    normalized = all(are_probabilities(found[0]) for found in exact.outputs)
    return lambda outputs: drawn_loss(outputs[0], normalized=normalized, generator=generator)


def single_samples(network: Network, exact: Reference) -> list[tuple[Any, ...]]:
    """Inputs one sample at a time, or in their batches if the network takes no other."""
    if not network.dynamic_batch:
        return [filled(network, inputs)[0] for inputs, _ in exact.batches]
    axis = network.batch_axis
    counted = ((inputs, samples_along(inputs, axis)) for inputs, _ in exact.batches)
    return [part_of(inputs, slice(at, at + 1), axis) for inputs, samples in counted for at in range(samples)]


def _error(x: Tensor, site: Site, affine: Affine) -> Tensor:
    """What rounding adds; a frozen weight has its integers at its own width."""
    held = site.quantizer.held if affine.scale is site.quantizer.scale else None
    return (fake_quantize(x, affine) if held is None else held) - x


def _gradients(network: Network, inputs: tuple[Any, ...], loss: Loss, parts: Parts) -> Parts:
    """The loss's gradients by each of some weights and values, after a pass that finds the values."""
    with torch.enable_grad():
        outputs = output_tensors(network(*to_device(inputs, network.device)))
        reached = [output for output in outputs if output.requires_grad]
        if not reached:
            raise GraphError(
                "network",
                "has no output from which a gradient goes back to a quantizer",
                remedy="capture the part that gives its scores, before the largest are chosen",
            )
        value = loss(reached)
    flat = [tensor for tensors in parts.values() for tensor in tensors]
    found = iter(torch.autograd.grad(value, flat, allow_unused=True, materialize_grads=True))
    return {quantizer: [next(found) for _ in tensors] for quantizer, tensors in parts.items()}


@contextlib.contextmanager
def _differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    """Within it, gradients reach some weights, whatever was set before."""
    before = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_()
        yield
    finally:
        for weight, required in zip(weights, before, strict=True):
            weight.requires_grad_(required)


@contextlib.contextmanager
def _watched(quantizers: Collection[Quantizer]) -> Iterator[dict[Quantizer, list[Tensor]]]:
    """Within it, the values at each quantizer gather, and each has a gradient."""
    seen: dict[Quantizer, list[Tensor]] = {quantizer: [] for quantizer in quantizers}

    def look(quantizer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        value = output if output.requires_grad else output.detach().requires_grad_()
        seen[cast(Quantizer, quantizer)].append(value)
        return value

    with contextlib.ExitStack() as hooks:
        for quantizer in quantizers:
            hooks.enter_context(quantizer.register_forward_hook(look))
        yield seen
