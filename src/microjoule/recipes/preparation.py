"""What recipes have in common: the data that they fit to and score on, and the record of how they were run."""

import time
from collections.abc import Mapping
from typing import Any

from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import Batches, batches, first, sample_count
from microjoule.execution.parts import parts
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


FIT, CHOOSE, CONFIRM = "part to fit to", "part to choose by", "part to confirm on"
"""What parts of data are called in records."""

JUDGED = 0.2
"""The share of labelled data that at least chooses, and as much again that confirms; the others are fitted to."""


def choose_and_confirm(network: Network, data: Any, confirm: Any, *, seed: int) -> tuple[Batches, Batches]:
    """The labelled data that a search chooses by, and that on which what it chose is confirmed.

    Args:
        network: whose data it is; where its batches are fixed, they are not divided.
        data: labelled, in any form that `batches` takes. Without others to confirm on, it is divided in halves.
        confirm: labelled, likewise; or None.
        seed: of the division.

    Raises:
        DataError: if something has no targets, or there is too little data to be divided.
    """
    labelled = _labelled(data)
    if confirm is not None:
        return labelled, _labelled(confirm)
    step = batch_step(network)
    _check_enough(labelled, sample_count(labelled), 2 * step)
    choose, confirming = parts(labelled, (0.5, 0.5), (CHOOSE, CONFIRM), whole=step > 1, seed=seed)
    return choose, confirming


def fit_choose_confirm(
    network: Network, data: Any, calibration: Any, confirm: Any, *, samples: int, seed: int
) -> tuple[Batches, Batches, Batches]:
    """The inputs that methods fit to, the labelled data that they are chosen by, and that which confirms the choice.

    What was fitted to would find those ways best that overfit, so without calibration inputs three fifths of the data
    at most are fitted to (four fifths, where others confirm), and the rest chooses.

    Args:
        network: as in `choose_and_confirm`.
        data: as there.
        calibration: inputs to fit to, in any form that `batches` takes; or None.
        confirm: as there.
        samples: how many inputs to fit to at most, the first ones.
        seed: as there.

    Raises:
        DataError: as there.
        SettingError: for less than one sample.
    """
    if calibration is not None:
        return first(batches(calibration), samples), *choose_and_confirm(network, data, confirm, seed=seed)
    if confirm is not None:
        return *fit_and_judge(network, data, None, samples=samples, seed=seed), _labelled(confirm)
    fit, choose, confirming = _fitted(network, data, (FIT, CHOOSE, CONFIRM), samples, seed)
    return fit, choose, confirming


def fit_and_judge(network: Network, data: Any, calibration: Any, *, samples: int, seed: int) -> tuple[Batches, Batches]:
    """The inputs that methods fit to, and the labelled data that judges: all of it, or without calibration a fifth.

    Args:
        network: as in `fit_choose_confirm`.
        data: as there.
        calibration: as there.
        samples: as there.
        seed: as there.

    Raises:
        DataError: as there.
        SettingError: as there.
    """
    if calibration is not None:
        return first(batches(calibration), samples), batches(data)
    fit, judge = _fitted(network, data, (FIT, CHOOSE), samples, seed)
    return fit, judge


def _fitted(network: Network, data: Any, names: tuple[str, ...], samples: int, seed: int) -> list[Batches]:
    """Labelled data in parts, the first of which is fitted to, and no larger than is asked for."""
    labelled, step, others = _labelled(data), batch_step(network), len(names) - 1
    total = sample_count(labelled)
    _check_enough(labelled, total, round(1 / JUDGED) * step)
    share = min(1 - JUDGED * others, max(samples, 1) / total)
    fit, *judges = parts(labelled, (share, *[(1 - share) / others] * others), names, whole=step > 1, seed=seed)
    return [first(fit, samples), *judges]


def _labelled(data: Any) -> Batches:
    found = batches(data)
    if not found.labelled:
        remedy = "give (inputs, targets), or a dataset of such pairs; unlabelled inputs are for calibration"
        raise DataError(found.name, "has no targets", remedy=remedy)
    return found


def _check_enough(labelled: Batches, total: int, least: int) -> None:
    if total < least:
        fact = f"holds too few samples, {total}, to choose by some and to confirm on others"
        raise DataError(labelled.name, fact, remedy=f"give at least {least}, or other samples for each (confirm=)")


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
