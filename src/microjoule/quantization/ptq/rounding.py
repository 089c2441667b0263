"""Rounding by a fixed rule: nearest, down, up or by chance, the baselines for rounding that is learned.

Between the two integers around w / s, nearest takes the closer one. It has the least error weight by weight, and is
not the best for the network: among random roundings some are far better. Stochastic rounding takes the upper one with
the probability of the fraction,

    P(up) = w / s - floor(w / s)        so that        E[s q] = w

and its mean over draws is the weight itself.

Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization,
https://arxiv.org/abs/2004.10568, section 3 and table 1; Gupta et al. 2015, Deep Learning with Limited Numerical
Precision, https://arxiv.org/abs/1502.02551, section 3 (stochastic rounding).
"""

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor

from microjoule.errors import SettingError
from microjoule.graph.network import Network, no_quantized_weight, takes_network, unknown_layer
from microjoule.graph.ops import Layer
from microjoule.numerics.affine import along
from microjoule.records.facts import Skipped
from microjoule.records.rounded import WeightsRounded

How = Literal["nearest", "floor", "ceil", "stochastic"]
"""The closer of two integers (half to even), the lower, the upper, or either with the fraction's probability."""

# The equation ---------------------------------------------------------------------------------------------------------


def rounded_by(exact: Tensor, how: How, draws: Tensor) -> Tensor:
    """Integers less than a step away.

    Args:
        exact: any shape, in steps.
        how: the rule.
        draws: shape of `exact`, uniform in [0, 1); only "stochastic" reads them.

    Returns:
        Whole numbers, of the shape and type of `exact`.
    """
    below = torch.floor(exact)
    match how:
        case "nearest":
            return torch.round(exact)
        case "floor":
            return below
        case "ceil":
            return torch.ceil(exact)
        case "stochastic":
            return below + (draws < exact - below)


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
def round_weights(
    network: Network, *, how: How = "nearest", layers: Collection[str] | None = None, seed: int = 0
) -> WeightsRounded:
    """Round quantized weights for good by a fixed rule, in place.

    A layer gets the same integers from the same seed, whichever other layers are chosen.

    Args:
        network: a network with quantized weights.
        how: "nearest", "floor", "ceil" or "stochastic".
        layers: paths of layers; None for all.
        seed: of the draws of "stochastic".

    Returns:
        The share of weights that are not rounded to the nearest integer, layer by layer.

    Raises:
        GraphError: if no weight is quantized, or a layer named in `layers` is not there.
        SettingError: for another rule.
    """
    _check(network, how, layers)
    generator = torch.Generator().manual_seed(seed)
    moved: dict[str, float] = {}
    skipped: list[Skipped] = []
    for layer in network.layers:
        if layer.quantizer is None:
            skipped.append(Skipped(layer.path, "its weights are not quantized"))
            continue
        draws = torch.rand(layer.stored_weight.shape, generator=generator, dtype=torch.float64)
        if layers is not None and layer.path not in layers:
            skipped.append(Skipped(layer.path, "not chosen by the caller"))
        else:
            moved[layer.path] = _round(layer, how, draws)
    record = WeightsRounded(how, moved, seed if how == "stochastic" else None, tuple(skipped))
    network.history.append(record)
    return record


def _check(network: Network, how: How, layers: Collection[str] | None) -> None:
    if how not in get_args(How):
        raise SettingError("how", f"is {how!r}", remedy=f"choose one of {', '.join(get_args(How))}")
    known = {layer.path: layer.quantizer for layer in network.layers}
    for path in layers or ():
        if path not in known:
            raise unknown_layer(path, list(known))
    if not any(known.values()):
        raise no_quantized_weight(network)


def _round(layer: Layer, how: How, draws: Tensor) -> float:
    """Hold the integers of one layer; returns the share that are not the nearest."""
    quantizer, weight = layer.quantizer, layer.stored_weight.detach()
    assert quantizer is not None
    affine = quantizer.affine
    exact = weight / along(affine.scale, weight, affine.scheme)
    zero_point = along(affine.zero_point, weight, affine.scheme)
    held, nearest = (
        (rounded_by(exact, rule, draws.to(exact.device)) + zero_point).clamp(affine.grid.qmin, affine.grid.qmax)
        for rule in (how, "nearest")
    )
    quantizer.hold(held.to(torch.int32))
    return (held != nearest).double().mean().item()
