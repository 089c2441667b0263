"""What recipes have in common: the data that they fit to and score on, and the record of how they were run."""

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import Batches, batches, first, sample_count
from microjoule.execution.parts import parts
from microjoule.execution.run import batch_step
from microjoule.execution.signature import Signature
from microjoule.execution.survey import Survey, keep_ranges, watched
from microjoule.graph.card import DECLARED, EXAMPLE, InputRange, ModelCard, Range, Ranges, range_in
from microjoule.graph.network import Network
from microjoule.graph.notice import RANGE, notice
from microjoule.graph.quantizer import Quantizer
from microjoule.records.facts import Run
from microjoule.records.machine import this_machine
from microjoule.records.noticed import Noticed


def find_ranges(network: Network, given: Ranges | None, data: Batches | None = None) -> dict[str, InputRange]:
    """The range of each floating-point input, and where it comes from.

    What the caller gives goes before what data has, and that before what the network's card says. Where nothing else is
    known, the range is that of the example inputs, which the network's history then warns of.

    Args:
        network: whose inputs these are.
        given: by the caller; or None.
        data: inputs that it will be fitted to; or None.

    Raises:
        SettingError: for a range that is none, or is of no input.
        DataError: if the data is empty, not finite, or does not fit.
    """
    examples = _examples(network)
    if given is not None:
        return _given(given, list(examples))
    if data is not None:
        survey = Survey(network, data.name)
        for _ in watched(data, survey):
            pass
        return survey.ranges
    found = {}
    for name, (low, high) in examples.items():
        known = network.card.range_of(name)
        found[name] = known or InputRange(low, high, EXAMPLE)
        if known is None and low < high:
            _warn(network, name, low, high)
    return found


def declare(network: Network, given: Ranges | None) -> None:
    """Note ranges that the caller gives, so that data which contradicts them is told of; None notes nothing.

    Raises:
        SettingError: for a range that is none, or is of no input.
    """
    if given is not None:
        keep_ranges(network, _given(given, list(_examples(network))))


def _examples(network: Network) -> dict[str, Range]:
    """The smallest and the largest value of each floating-point example input."""
    signature, found = Signature.of(network), dict[str, Range]()
    for entry in signature.inputs if signature is not None else ():
        leaves = [leaf for leaf in pytree.tree_leaves(entry.example) if isinstance(leaf, Tensor)]
        tensors = [leaf for leaf in leaves if leaf.is_floating_point() and leaf.numel()]
        if tensors:
            found[entry.name] = min(t.min().item() for t in tensors), max(t.max().item() for t in tensors)
    return found


def _given(given: Ranges, names: list[str]) -> dict[str, InputRange]:
    card = ModelCard(given)
    unknown = [name for name in given if name not in names] if isinstance(given, Mapping) else []
    if unknown:
        fact = f"names {', '.join(unknown)}, and the network takes {', '.join(names) or 'no floating-point input'}"
        raise SettingError("input_range", fact, remedy="give the range of each input by its name")
    missing = [name for name in names if card.range_of(name) is None]
    if missing:
        raise SettingError("input_range", f"has no entry for {', '.join(missing)}", remedy="give one for each input")
    return {name: InputRange(*range_in(given, name), DECLARED) for name in names}


def _warn(network: Network, name: str, low: float, high: float) -> None:
    fact = f"nothing tells its range but the example inputs, {low:.4g} to {high:.4g}, which may be no real ones"
    remedy = (
        "give input_range=(low, high) or data=..., or capture with card=mj.ModelCard(input_range=(low, high)); on the"
        " command line --input-range or --data"
    )
    notice(network, Noticed(RANGE, name, fact, remedy))


def as_ranges(found: Mapping[str, InputRange]) -> Ranges:
    """What `find_ranges` found, as functions take it: one range where there is one input."""
    plain = {name: (known.low, known.high) for name, known in found.items()}
    return next(iter(plain.values())) if len(plain) == 1 else plain


def origins(found: Mapping[str, InputRange]) -> str | None:
    """Where ranges come from, for the record of a run; None if there are none."""
    return ", ".join(dict.fromkeys(known.origin for known in found.values())) or None


def check_network(network: Network) -> None:
    """See whether a network can be compressed.

    Raises:
        SettingError: for a network with quantizers.
    """
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
    labelled = _labelled(network, data)
    if confirm is not None:
        return labelled, _labelled(network, confirm)
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
        return first(batches(calibration, network), samples), *choose_and_confirm(network, data, confirm, seed=seed)
    if confirm is not None:
        return *fit_and_judge(network, data, None, samples=samples, seed=seed), _labelled(network, confirm)
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
        return first(batches(calibration, network), samples), batches(data, network)
    fit, judge = _fitted(network, data, (FIT, CHOOSE), samples, seed)
    return fit, judge


def _fitted(network: Network, data: Any, names: tuple[str, ...], samples: int, seed: int) -> list[Batches]:
    """Labelled data in parts, the first of which is fitted to, and no larger than is asked for."""
    labelled, step, others = _labelled(network, data), batch_step(network), len(names) - 1
    total = sample_count(labelled)
    _check_enough(labelled, total, round(1 / JUDGED) * step)
    share = min(1 - JUDGED * others, max(samples, 1) / total)
    fit, *judges = parts(labelled, (share, *[(1 - share) / others] * others), names, whole=step > 1, seed=seed)
    return [first(fit, samples), *judges]


def _labelled(network: Network, data: Any) -> Batches:
    found = batches(data, network)
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
