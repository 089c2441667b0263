"""What recipes have in common: the data that they fit to and score on, and the record of how they were run."""

import time
from collections.abc import Mapping
from typing import Any

from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import Batches, batches, first, rest, sample_count
from microjoule.execution.run import batch_step
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.records.facts import Run
from microjoule.records.machine import this_machine


def example_range(network: Network) -> tuple[float, float]:
    """The smallest and the largest value of a network's floating-point example inputs; (0, 0) if it has none."""
    tensors = [tensor for tensor in network.example.tensors if tensor.is_floating_point()]
    return min((t.min().item() for t in tensors), default=0.0), max((t.max().item() for t in tensors), default=0.0)


def check_network(network: Network) -> None:
    """See whether a network can be compressed.

    Raises:
        SettingError: for a module, which was not captured, and for a network with quantizers.
    """
    if not isinstance(network, Network):
        remedy = "capture it first, mj.capture(model, inputs), or call mj.compress_model"
        raise SettingError("network", f"is a {type(network).__name__}", remedy=remedy)
    if any(isinstance(module, Quantizer) for module in network.module.modules()):
        raise SettingError("network", "is quantized", remedy="compress the network in floating point, then quantize it")


def inputs_and_judge(network: Network, data: Any, calibration: Any, samples: int) -> tuple[Batches, Batches]:
    """The inputs that methods fit to, and the labelled data that judges what they made.

    Without calibration inputs the first four fifths of the data at most are fitted to, and the others judge: what
    was fitted to would find those ways best that overfit.

    Args:
        network: whose data it is; where its batches are fixed, data is parted between them.
        data: labelled, in any form that `batches` takes.
        calibration: inputs, likewise; or None.
        samples: how many inputs to use at most, the first ones.

    Raises:
        DataError: if there is too little data to be parted.
        SettingError: for less than one sample.
    """
    labelled = batches(data)
    if calibration is not None:
        return first(batches(calibration), samples), labelled
    total = sample_count(labelled)
    whole = batch_step(network)
    if total < 2 * whole:
        fact = f"holds too few samples, {total}, to fit to some and be judged by others"
        raise DataError(labelled.name, fact, remedy=f"give {2 * whole} at least, or others as calibration")
    fitted = min(samples, max(total * 4 // 5, whole))
    fitted -= fitted % whole if fitted > whole else 0
    return first(labelled, fitted), rest(labelled, fitted)


def run_record(recipe: str, settings: Mapping[str, Any], seed: int | None, started: float) -> Run:
    """How a recipe was run.

    Args:
        recipe: its name.
        settings: what it was given; what is None or empty is left out.
        seed: or None, if nothing in it is random.
        started: `time.perf_counter()` when it began.
    """
    words = {name: str(value) for name, value in settings.items() if value not in (None, {})}
    return Run(recipe, words, seed, time.perf_counter() - started, this_machine())
