"""From a trained network to a smaller one in integers: compressed, then quantized, and ready to be verified."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from microjoule.compression.criteria import CRITERIA
from microjoule.compression.menu import METHODS
from microjoule.costs.target import Target
from microjoule.errors import SettingError
from microjoule.execution.batches import Batches
from microjoule.execution.device import Device, move, returns
from microjoule.execution.evaluate import evaluate
from microjoule.execution.scoring import MetricLike, as_metric
from microjoule.graph.card import Ranges
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.low_rank_shapes import Method
from microjoule.recipes.compress import compress
from microjoule.recipes.compression_trial import WAYS
from microjoule.recipes.data_free import data_free
from microjoule.recipes.learned_rounding import adaround, gptq
from microjoule.recipes.preparation import check_network, fit_choose_confirm, run_record

FITTED: dict[str, Callable[..., Network]] = {"gptq": gptq, "adaround": adaround}
"""Roundings that are fitted layer by layer; "data_free" balances and corrects, which is enough for 8 bits."""


@takes_network
@returns
def svd_prune_int8(
    network: Network,
    data: Any,
    metric: MetricLike,
    *,
    macs: float | None = None,
    size: float | None = None,
    energy: float | None = None,
    latency: float | None = None,
    calibration: Any = None,
    confirm: Any = None,
    methods: Sequence[Method] = METHODS,
    multiple: int = 8,
    criterion: str = CRITERIA[0],
    ways: Sequence[float] = WAYS,
    target: str | Path | Target = "onnxruntime",
    weights: int = 8,
    activations: int = 8,
    rounding: str = "data_free",
    input_range: Ranges | None = None,
    samples: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Network:
    """Compress by low rank and pruning, then quantize: `compress` and a quantizing recipe, one after the other.

    Args:
        network: in floating point; it is left alone.
        data: labelled data that ways are chosen by, as in `mj.compress`.
        metric: as in `mj.evaluate`; it is reset each time.
        macs: the share of multiply-accumulates to keep; one budget at most is given, and 0.5 of these if none is.
        size: the share of the weights' bytes to keep, still in floating point.
        energy: the share of the energy to keep, likewise.
        latency: the share of the measured milliseconds to keep, in 8 bits: of those that the quantized original takes.
        calibration: some hundred unlabelled inputs, for both steps. None takes a part of `data`, as `compress` does.
        confirm: labelled data on which all three networks are scored; None takes a part of `data`, as `compress` does.
        methods: as in `compress`.
        multiple: widths and ranks are multiples of this. Those of any number, 1, keep some points more at the same
            multiply-accumulates, but in integers take longer than the original does.
        criterion: as there.
        ways: as there.
        target: a target's name, a TOML file, or a Target.
        weights: bits of weights.
        activations: bits of activations.
        rounding: the recipe that quantizes: "data_free", or for fewer bits "gptq" or "adaround".
        input_range: smallest and largest value of the network's inputs; None takes those of the data.
        samples: how many calibration inputs are used, the first ones.
        seed: of every draw.
        folder: keeps what `compress` does, and each fitted layer; the same call goes on where it was interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network with quantizers, frozen; its history has the score of each of the three networks.

    Raises:
        SettingError: for a rounding that there is not, and as `compress`.
        DataError: if the data has no targets, is empty, or does not fit.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    move(network, device)
    started = time.perf_counter()
    quantized = _rounding(rounding, None if folder is None else Path(folder) / "rounded")
    check_network(network)
    scored_by = as_metric(metric)
    inputs, choose, others = fit_choose_confirm(network, data, calibration, confirm, samples=samples, seed=seed)
    shares: dict[str, Any] = {"macs": macs, "size": size, "energy": energy, "latency": latency}
    shares = shares if any(share is not None for share in shares.values()) else {"macs": 0.5}
    how: dict[str, Any] = {"methods": methods, "multiple": multiple, "ways": ways, "samples": samples, "folder": folder}
    how |= {"criterion": criterion, "latency_bits": 8}
    smaller = compress(network, choose, scored_by, calibration=inputs, confirm=others, seed=seed, **shares, **how)
    bits: dict[str, Any] = {"target": target, "weights": weights, "activations": activations}
    result = quantized(smaller, inputs, **bits, input_range=input_range, seed=seed)
    evaluate(result, others, scored_by, stage=f"compressed W{weights}A{activations}")
    settings = {**shares, "rounding": rounding, "weights": weights, "activations": activations}
    result.history.append(run_record("svd_prune_int8", settings, seed, started))
    return result


def _rounding(name: str, folder: Path | None) -> Callable[..., Network]:
    """The recipe that quantizes, by its name."""
    if name == "data_free":
        return _by_data
    if name not in FITTED:
        raise SettingError("rounding", f"is {name!r}", remedy=f"use one of data_free, {', '.join(FITTED)}")
    return partial(FITTED[name], folder=folder)


def _by_data(network: Network, data: Batches, **settings: Any) -> Network:
    return data_free(network, data=data, **settings)
