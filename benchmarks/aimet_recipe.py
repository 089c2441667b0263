"""AIMET's published recipe of compression, built here as a baseline: one shot, nothing is trained.

- Low rank: spatial SVD of the weights alone, of every convolution of one group with more than one tap.
- Channel pruning: `benchmarks.aimet_pruning`.
- Ratios: 0.1, 0.2, ..., 0.9 of each layer alone are scored; each layer then takes the smallest ratio whose score
  reaches a level that is common to all, the highest level that meets the target.

Source: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866 (spatial SVD); AIMET's user guide, greedy selection of
compression ratios, https://quic.github.io/aimet-pages/.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Literal

import microjoule as mj
from benchmarks.aimet_pruning import candidate_weights, prunable, prune, thinned
from benchmarks.alone import RATIOS, Images, Scores, Weights, score_alone
from microjoule.compression.approximations import Sizes, layer_sizes
from microjoule.graph.factor import replace_by_factors, unfit
from microjoule.graph.ops import Layer
from microjoule.numerics.low_rank import Factored, approximated
from microjoule.numerics.low_rank_shapes import largest_rank, layer_macs

Scheme = Literal["svd", "pruning", "both"]

SVD_SHARE = math.log(0.75) / math.log(0.5)
"""AIMET's example of both: half of a ResNet-50's work is 0.75 by SVD times 0.66 by pruning; other shares alike."""


def compressed(
    network: mj.Network, images: Images, *, macs: float, scheme: Scheme, known: Mapping[Scheme, Scores] | None = None
) -> mj.Network:
    """A smaller network by the recipe; the given one stays as it is.

    Args:
        network: in floating point; its batch norms stay.
        images: for scores and regression.
        macs: the share of multiply-accumulates that may be left; as little as there is to be had if that is more.
        scheme: SVD alone, pruning alone, or pruning after SVD.
        known: scores of the network by `scores_of`, by scheme; what is missing is measured.
    """
    found, whole = network.copy(), mj.costs(network.copy()).macs
    if scheme != "pruning":
        share = macs if scheme == "svd" else macs**SVD_SHARE
        scores = (known or {}).get("svd") or scores_of(found, images, "svd")
        factorize(found, chosen_ratios(scores, share * whole, lambda ratios: _macs_factorized(network, ratios)))
    if scheme == "svd":
        return found
    scores = (known or {}).get(scheme) or scores_of(found, images, "pruning")
    channels = prunable(found)
    ratios = chosen_ratios(scores, macs * whole, lambda given: mj.costs(thinned(found, given, channels)).macs)
    return prune(found, images.inputs, ratios)


def scores_of(network: mj.Network, images: Images, scheme: Scheme) -> Scores:
    """The scores of all candidates: by SVD, or else by pruning.

    Args:
        network: as it is before.
        images: for scores and regression.
        scheme: which candidates.
    """
    candidates = svd_weights(network) if scheme == "svd" else candidate_weights(network, images.inputs)
    return score_alone(network, images, candidates)


# Ratios ---------------------------------------------------------------------------------------------------------------


def ratios_at(scores: Scores, level: float) -> dict[str, float]:
    """For each layer the smallest ratio that reaches a level, down from the largest; layers without one stay.

    Args:
        scores: of each layer and ratio.
        level: of the score.
    """
    found = {}
    for path, by_ratio in scores.items():
        reached = list(takewhile(lambda ratio: by_ratio[ratio] >= level, sorted(by_ratio, reverse=True)))  # noqa: B023
        if reached:
            found[path] = reached[-1]
    return found


def chosen_ratios(scores: Scores, budget: float, macs_of: Callable[[dict[str, float]], int]) -> dict[str, float]:
    """The ratios at the highest level that meets a budget; at the lowest level if none does.

    Layers that meet the same level change at once. Where that overshoots, layers in the order of the network stay at
    the level above as far as the budget allows: AIMET has no such rule, and without it less work would be left to it.

    Args:
        scores: of each layer and ratio.
        budget: multiply-accumulates.
        macs_of: what a network with such ratios has.
    """
    levels = sorted({score for by_ratio in scores.values() for score in by_ratio.values()}, reverse=True)
    meets = bisect_left(levels, 0, key=lambda level: int(budget) - macs_of(ratios_at(scores, level)))
    found = ratios_at(scores, levels[min(meets, len(levels) - 1)])
    gentler = ratios_at(scores, [math.inf, *levels][meets])
    for path in list(found):
        tried = {one: ratio for one, ratio in found.items() if one != path}
        tried |= {path: gentler[path]} if path in gentler else {}
        if macs_of(tried) <= budget:
            found = tried
    return found


# Low rank -------------------------------------------------------------------------------------------------------------


def svd_weights(network: mj.Network) -> dict[str, dict[float, Weights]]:
    """What weights of layers become at each ratio.

    Args:
        network: in floating point.

    Returns:
        Layer -> ratio -> its weight, the bias as it is.
    """
    layers = _separable(network)
    sizes = layer_sizes(network, layers)
    return {
        layer.path: {ratio: (_factored(layer, ratio, sizes[layer.path]).weight, None) for ratio in RATIOS}
        for layer in layers
    }


def factorize(network: mj.Network, ratios: Mapping[str, float]) -> None:
    """Replace layers by two, in place.

    Args:
        network: in floating point.
        ratios: of multiply-accumulates, by layer.
    """
    layers = [layer for layer in _separable(network) if layer.path in ratios]
    sizes = layer_sizes(network, layers)
    for layer in layers:
        replace_by_factors(network, layer, _factored(layer, ratios[layer.path], sizes[layer.path]), layer.bias)
    network.recompile()


def _separable(network: mj.Network) -> list[Layer]:
    return [
        layer
        for layer in network.layers
        if layer.kind == "conv" and layer.stored_weight[0, 0].numel() > 1 and unfit(network, layer, "spatial") is None
    ]


def _factored(layer: Layer, ratio: float, sizes: Sizes) -> Factored:
    """With the largest rank that has at most this share of the layer's multiply-accumulates, and 1 at least."""
    shape = tuple(layer.stored_weight.shape)
    most = ratio * layer_macs(shape, sizes.outputs)
    rank = max(1, largest_rank(shape, "spatial", most, sizes.inputs, sizes.outputs))
    return approximated(layer.stored_weight.detach(), "spatial", rank)


def _macs_factorized(network: mj.Network, ratios: dict[str, float]) -> int:
    found = network.copy()
    factorize(found, ratios)
    return mj.costs(found).macs
