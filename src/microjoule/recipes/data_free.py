"""Integer networks without training: data-free quantization, and the plain conversion that it is compared with."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import SettingError
from microjoule.execution.batches import Batches, batches
from microjoule.execution.device import Device, move, returns
from microjoule.execution.survey import keep_ranges
from microjoule.graph.card import Ranges
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network, takes_network
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.observation import observe_statistics
from microjoule.quantization.ptq.balanced_rounding import balance_rounding
from microjoule.quantization.ptq.bias_correction import correct_biases, correct_biases_from_statistics
from microjoule.quantization.ptq.constant_channels import fold_constant_channels
from microjoule.quantization.ptq.noise import noise_like
from microjoule.quantization.ptq.noise_equalization import equalize_noise
from microjoule.quantization.ptq.statistic_ranges import ranges_from_statistics
from microjoule.quantization.simulate import Bits, freeze, quantize
from microjoule.quantization.spread import weight_ranges
from microjoule.quantization.tie_free import avoid_ties
from microjoule.recipes.preparation import as_ranges, declare, find_ranges, origins, run_record


@takes_network
@returns
def data_free(
    network: Network,
    *,
    target: str | Path | Target = "onnxruntime",
    weights: int | None = None,
    activations: int | None = None,
    layers: Mapping[str, Bits] | None = None,
    input_range: Ranges | None = None,
    data: Any = None,
    seed: int = 0,
    device: Device = None,
) -> Network:
    """Quantize without labels and without training: fold, equalize, round in balance, correct biases.

    Ranges and expected values come from the batch norms' statistics: no data at all. Where those tell nothing, they
    come from generated noise, which drives some networks through other ranges than real inputs do; a few dozen real
    inputs, given as `data`, are then safer. The history says which it was.
    Equalization serves a target with one scale a tensor; with a scale for each channel it is left out.

    Args:
        network: the network in floating point; it is left alone.
        target: a target's name, a TOML file, or a Target.
        weights: bits of weights; None for the target's default.
        activations: bits of activations; None for the target's default.
        layers: exceptions by layer path, as in `quantize`.
        input_range: smallest and largest value of the network's inputs, of all or of each by its name. None takes what
            `data` has, or the network's card says; and if nothing tells it, the range of the example inputs, with a
            warning.
        data: unlabelled inputs, in any form that `batches` takes, to be used instead of statistics and noise.
        seed: of the noise.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network with quantizers, frozen; its history says what was done.

    Raises:
        SettingError: without data, if the range of the inputs is empty.
    """
    move(network, device)
    started, rules = time.perf_counter(), find_target(target)
    result = network.copy()
    given = None if data is None else batches(data, result)
    declare(result, input_range)
    found = find_ranges(result, input_range, given) if given is None or rules.weights.axis is None else {}
    inputs = as_ranges(found)
    source = _noise(result, inputs, seed) if given is None else given
    fold_batch_norms(result)
    by_statistics = data is None and bool(result.preactivations)
    weight_ranges(result, "before")
    fold_constant_channels(result)
    if rules.weights.axis is None:
        if not by_statistics:
            observe_statistics(result, source)
        bits = rules.weight_scheme(weights, 0).grid.bits, rules.activation_scheme(activations).grid.bits
        equalize_noise(result, input_range=inputs, weights=bits[0], activations=bits[1])
    weight_ranges(result, "after")
    quantize(result, target=rules, weights=weights, activations=activations, layers=layers)
    _fit(result, source, inputs, by_statistics=by_statistics)
    settings: dict[str, Any] = {"target": rules.name, "weights": weights, "activations": activations}
    settings |= {"layers": dict(layers or {}), "input_range": inputs, "input_range from": origins(found)}
    keep_ranges(result, found)
    result.history.append(run_record("data_free", settings, seed, started))
    return result


def _fit(network: Network, source: Any, inputs: Ranges, *, by_statistics: bool) -> None:
    """Ranges, the rounding and the biases of a network with quantizers, which are frozen then."""
    if by_statistics:
        ranges_from_statistics(network, input_range=inputs)
    if _lacks_something(network):
        calibrate(network, source, keep=True)
    avoid_ties(network)
    if not any(layer.quantizer for layer in network.layers):
        freeze(network)  # products of values alone, or with stored tensors that are none of a layer
        return
    balance_rounding(network)
    if by_statistics:
        correct_biases_from_statistics(network, input_range=inputs, data=source)
    else:
        correct_biases(network, source)
    freeze(network)


@takes_network
@returns
def naive(
    network: Network,
    data: Any,
    *,
    target: str | Path | Target = "onnxruntime",
    weights: int | None = None,
    activations: int | None = None,
    layers: Mapping[str, Bits] | None = None,
    device: Device = None,
) -> Network:
    """Quantize with no further care: fold batch norms, ranges from the smallest to the largest value.

    Args:
        network: the network in floating point; it is left alone.
        data: inputs for the ranges of activations, in any form that `batches` takes.
        target: a target's name, a TOML file, or a Target.
        weights: bits of weights; None for the target's default.
        activations: bits of activations; None for the target's default.
        layers: exceptions by layer path, as in `quantize`.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network with quantizers, frozen.
    """
    move(network, device)
    started, rules = time.perf_counter(), find_target(target)
    result = network.copy()
    fold_batch_norms(result)
    quantize(result, target=rules, weights=weights, activations=activations, layers=layers)
    calibrate(result, data)
    avoid_ties(result)
    freeze(result)
    settings = {"target": rules.name, "weights": weights, "activations": activations, "layers": dict(layers or {})}
    result.history.append(run_record("naive", settings, None, started))
    return result


def _lacks_something(network: Network) -> bool:
    """Whether some activation's range is still open."""
    return not all(quantizer.calibrated for quantizer in network.quantizers.values())


def _noise(network: Network, inputs: Ranges, seed: int) -> Batches:
    """Generated inputs; were all the same (as in an example of zeros), they would tell nothing."""
    for low, high in inputs.values() if isinstance(inputs, Mapping) else [inputs]:
        if not -math.inf < low < high < math.inf:
            remedy = "give the smallest and the largest value of real inputs, input_range=(low, high), or data"
            raise SettingError("input_range", f"is {(low, high)}", remedy=remedy)
    return noise_like(network, input_range=inputs, seed=seed)
