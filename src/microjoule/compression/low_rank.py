"""Layers replaced by chains of smaller ones: the low-rank form of each weight that changes least.

Without data it is the weight that changes least, by its SVD; with data the layer's output, by the second moments of
what the layer reads, which one pass through the network collects. Batch norms and activations stay where they are.

Source: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866 (spatial); Zhang et al. 2015,
https://arxiv.org/abs/1505.06798, section 3.1 (output, with data); Kim et al. 2016, https://arxiv.org/abs/1511.06530
(Tucker-2, ranks by variational Bayes).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from microjoule.compression.approximations import Sizes, form, layer_sizes
from microjoule.errors import SettingError
from microjoule.execution.batches import batches, first, sample_count
from microjoule.execution.device import Device, move, returns
from microjoule.execution.moments import input_moments
from microjoule.execution.reconstruct import ROWS
from microjoule.graph.factor import replace_by_factors, unfit
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.numerics.least_squares import Moments, best_bias, trusted
from microjoule.numerics.low_rank import Factored, approximated
from microjoule.numerics.low_rank_shapes import (
    METHODS,
    Method,
    Rank,
    check_rank,
    factor_macs,
    factor_shapes,
    full_rank,
    full_tucker_ranks,
    layer_macs,
)
from microjoule.numerics.variational_rank import variational_rank
from microjoule.numerics.whitened import output_error
from microjoule.records.compressed import Factorized, LayerFactorized
from microjoule.records.skipped import Skipped


@takes_network
@returns
def low_rank(
    network: Network,
    ranks: Mapping[str, Rank],
    *,
    method: Method | Mapping[str, Method] = "spatial",
    data: Any = None,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
    device: Device = None,
) -> Factorized:
    """Replace layers by their low-rank forms, in place.

    Args:
        network: in floating point.
        ranks: layer path -> the channels between its factors; for tucker two numbers, of the side of the inputs and of
            the outputs, or that of the larger side, the other one in proportion.
        method: "spatial" (kh x 1, 1 x kw), "input" (1 x 1, kh x kw), "output" (kh x kw, 1 x 1) or "tucker" (1 x 1,
            kh x kw, 1 x 1); or a form for each layer. Where a kernel has one tap, in linear layers above all, all of
            them are the SVD, which counts as "output".
        data: inputs, in any form that `batches` takes, so that layers' outputs change least, as far as so many inputs
            tell; a layer without a bias gets one then. None to let the weights change least.
        samples: how many samples of the data to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        seed: of the places.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        What became of each layer, and which were not replaced, with the reason.

    Raises:
        GraphError: for a path at which there is no layer.
        SettingError: for a rank or a form that cannot be; nothing is changed then.
        DataError: if the data is empty, not finite, or does not fit.
    """
    move(network, device)
    chosen, skipped = _chosen(network, ranks, method)
    found = None if data is None else first(batches(data, network), samples)
    layers = [layer for layer, _ in chosen]
    known = {} if found is None or not chosen else input_moments(network, found, layers, rows=rows, seed=seed)
    sizes, done = layer_sizes(network, layers), []
    for layer, how in chosen:
        moments = known.get(layer.path)
        second = None if moments is None else trusted(moments)[0]
        factored = approximated(layer.stored_weight, how, ranks[layer.path], second)
        done.append(_record(layer, factored, ranks[layer.path], sizes[layer.path], moments))
        bias = layer.bias if moments is None else best_bias(factored.weight.flatten(1)[None], moments)[0]
        replace_by_factors(network, layer, factored, bias)
    network.recompile()
    count = 0 if found is None else sample_count(found)
    record = Factorized(None if found is None else found.name, count, tuple(done), tuple(skipped))
    network.history.append(record)
    return record


def _chosen(
    network: Network, ranks: Mapping[str, Rank], method: Method | Mapping[str, Method]
) -> tuple[list[tuple[Layer, Method]], list[Skipped]]:
    """The layers to replace, in the order of the network, each with its form."""
    asked = {network.layer(path).path for path in ranks}
    chosen, skipped = [], []
    for layer in network.layers:
        if layer.path not in asked:
            continue
        how = form(layer, _named(method, layer.path))
        reason = unfit(network, layer, how)
        if reason is None:
            check_rank(tuple(layer.stored_weight.shape), how, ranks[layer.path], place=f"ranks[{layer.path!r}]")
            chosen.append((layer, how))
        else:
            skipped.append(Skipped(layer.path, reason))
    return chosen, skipped


def _named(method: Method | Mapping[str, Method], path: str) -> Method:
    found = method if isinstance(method, str) else method.get(path)
    if found not in METHODS:
        raise SettingError("method", f"is {found!r} for {path}", remedy=f"give one of {', '.join(METHODS)}")
    return found


def _record(layer: Layer, factored: Factored, rank: Rank, sizes: Sizes, moments: Moments | None) -> LayerFactorized:
    shape, method = tuple(layer.stored_weight.shape), factored.method
    full = full_tucker_ranks(shape) if method == "tucker" else (full_rank(shape, method),)
    return LayerFactorized(
        layer=layer.path,
        method=method,
        ranks=tuple(one[0] for one in factor_shapes(shape, method, rank)[:-1]),
        full_ranks=full,
        macs_before=layer_macs(shape, sizes.outputs),
        macs_after=factor_macs(shape, method, rank, sizes.inputs, sizes.outputs),
        error=relative_error(layer.stored_weight, factored.weight, moments),
    )


def relative_error(weight: Tensor, approximation: Tensor, known: Moments | None = None) -> float:
    """The squared error of a weight over its sum of squares; with moments, of the output over its variance.

    Args:
        weight: (out, in, *kernel).
        approximation: of the same shape.
        known: of what a layer of one group reads and gives; None for the error of the weight.
    """
    before, change = weight.detach().double(), (approximation - weight).detach().double()
    if known is None:
        error, total = change.square().sum(), before.square().sum()
    else:
        error, total = output_error(change.flatten(1), known.second[0]), known.output_variance.sum()
    return float(error / total) if total > 0 else 0.0


def variational_ranks(network: Network, layers: Sequence[Layer] | None = None) -> dict[str, tuple[int, int]]:
    """Ranks of Tucker's form by how many singular values of each unfolding are more than noise, at least 1.

    Args:
        network: in floating point.
        layers: of that network; None for all whose kernels have several taps and that can be replaced.
    """
    some = [one for one in network.layers if prod(one.stored_weight.shape[2:]) > 1 and unfit(network, one) is None]
    found = {}
    for layer in some if layers is None else layers:
        weight = layer.stored_weight.detach()
        sides = weight.transpose(0, 1).flatten(1), weight.flatten(1)
        inputs, outputs = (max(1, variational_rank(side)) for side in sides)
        found[layer.path] = inputs, outputs
    return found
