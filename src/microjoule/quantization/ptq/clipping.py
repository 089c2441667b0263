"""Smart weight clipping: a narrower range, where a few outliers would take the steps of all other weights.

With a grid of step s over [-c, c], rounding adds s^2 / 12 to the mean squared error, and each weight beyond c its
squared distance from c. The least-squares clip balances the two; what clipping adds to a layer's mean is left to bias
correction. Where a (P)ReLU follows, equalization moves outliers to where they do no harm; clipping is for layers that
equalization does not reach.

Source: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 5.1.2 ("clip @ 15" with bias correction); Banner et
al. 2019, https://arxiv.org/abs/1810.05723, section 3 (the two terms of the error).
"""

from collections.abc import Collection

from microjoule.graph.network import Network, no_quantized_weight, takes_network
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import RangeRule, mse
from microjoule.quantization.simulate import set_range_by
from microjoule.records.facts import Skipped, WeightsClipped


@takes_network
def clip_weights(network: Network, *, rule: RangeRule = mse, only: Collection[str] | None = None) -> WeightsClipped:
    """Choose the ranges of quantized weights anew, in place.

    Args:
        network: a network with quantized weights that are not frozen.
        rule: how a range is chosen; by default with the least squared error.
        only: paths of layers; None for all.

    Returns:
        The share of its range that each layer kept, for its channel that kept least.

    Raises:
        GraphError: if no weight is quantized.
    """
    quantized = [layer for layer in network.layers if layer.quantizer is not None]
    if not quantized:
        raise no_quantized_weight(network)
    kept: dict[str, float] = {}
    skipped: list[Skipped] = []
    for layer in quantized:
        quantizer = layer.quantizer
        assert quantizer is not None
        if only is not None and layer.path not in only:
            skipped.append(Skipped(layer.path, "not chosen by the caller"))
            continue
        set_range_by(quantizer, layer, rule)
        affine = quantizer.affine
        seen = Distribution.of(layer.stored_weight.detach(), quantizer.scheme)
        span = (affine.scale * affine.grid.steps).reshape(-1)
        kept[layer.path] = min(1.0, (span / (seen.high - seen.low).clamp(min=span.min())).min().item())
    record = WeightsClipped(kept, tuple(skipped))
    network.history.append(record)
    return record
