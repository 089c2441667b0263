"""As cheap as it gets within a drop: try one recipe after another, and stop at the first that keeps the metric."""

import contextlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.binding import Batch
from microjoule.execution.device import Device, move, returns
from microjoule.execution.scoring import MetricLike, as_metric
from microjoule.graph.card import Ranges
from microjoule.graph.network import Network, takes_network
from microjoule.jobs.identity import Identity
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.paired import samples_to_decide
from microjoule.quantization.simulate import Bits
from microjoule.recipes.attempt_bench import FLOAT, Bench
from microjoule.recipes.attempt_costs import price
from microjoule.recipes.attempts import ATTEMPTS, Attempt, Settings
from microjoule.recipes.preparation import as_ranges, choose_and_confirm, find_ranges
from microjoule.records.compared import UNDECIDED, Compared
from microjoule.records.decided import Reached, Tried
from microjoule.records.measured import Evaluated
from microjoule.report.units import difference

REMEDY = "say with `layers` what is to stay in floating point, or give other attempts"


@takes_network
@returns
def reach(
    network: Network,
    data: Any,
    metric: MetricLike,
    *,
    calibration: Any = None,
    confirm: Any = None,
    drop: float = 1.0,
    target: str | Path | Target = "onnxruntime",
    cost: str = "energy",
    weights: int = 8,
    activations: int = 8,
    layers: Mapping[str, Bits] | None = None,
    input_range: Ranges | None = None,
    samples: int = 256,
    iterations: int = 1000,
    attempts: Sequence[Attempt] = ATTEMPTS,
    folder: str | Path | None = None,
    seed: int = 0,
    device: Device = None,
) -> Network:
    """Quantize by the first recipe that keeps the metric within a drop, the cheapest tried first.

    Where no attempt is within the drop, the one with the smallest drop is taken; of several with the same drop the one
    with the lowest cost, and then the earlier one. An attempt that the network does not allow is noted and passed over.
    What was taken is scored once more, on samples that nothing was chosen by: these say whether the drop is kept, and
    how sure that is.

    Args:
        network: the network in floating point; it is left alone.
        data: labelled data that attempts are chosen by, in any form that `batches` takes. Where there is no other to
            confirm on, it is divided in halves, at random and each class alike.
        metric: to be kept, as in `mj.evaluate`; it is reset each time.
        calibration: unlabelled inputs for the methods, in any form that `batches` takes. None takes the inputs of the
            data that attempts are chosen by, without its labels.
        confirm: labelled data on which FP32 and what was taken are scored at the end.
        drop: how much worse than FP32 the metric may be, in its unit (points for percent).
        target: a target's name, a TOML file, or a Target.
        cost: what is counted for each attempt: "energy" (pJ), "bytes" (of weights), "bops", "latency" (ms, measured).
        weights: bits of weights.
        activations: bits of activations.
        layers: exceptions by layer path, as in `quantize`.
        input_range: smallest and largest value of the network's inputs; None takes those of the calibration inputs.
        samples: how many calibration inputs are used, the first ones; they are held in memory.
        iterations: for each layer, where rounding is learned.
        attempts: what is tried, in this order; names tell them apart.
        folder: keeps each attempt, and each fitted layer, as soon as it is done; the same call then goes on where it
            was interrupted. Another drop, or other attempts, go on in the same folder, too.
        seed: of every draw.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network with quantizers, frozen; its history ends with the record `Reached`: what was tried and why.

    Raises:
        DataError: if the data has no targets, does not fit, or FP32 has no score on it.
        SettingError: for a cost, a drop, samples or attempts that there cannot be.
        GraphError: if the network has quantizers already, or allows no attempt.
        FileError: if the folder holds the work of another run.
    """
    move(network, device)
    own, rules, scored_by = network.copy().eval(), find_target(target), as_metric(metric)
    _check(own, drop, attempts)
    price(cost)
    choose, others = choose_and_confirm(own, data, confirm, seed=seed)
    inputs = _held(choose if calibration is None else batches(calibration, network), samples)
    bounds = as_ranges(find_ranges(own, input_range, inputs))
    settings = Settings(rules, weights, activations, dict(layers or {}), bounds, iterations, seed)
    bench = Bench(own, choose, others, inputs, scored_by, cost, settings, attempts)
    with contextlib.ExitStack() as stack:
        place = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="microjoule-"))
        kept = stack.enter_context(RunFolder(place, Identity.of if folder is None else bench.identity))
        note, scored = bench.floating(kept)
        record = _decided(_until(bench, scored, drop, kept), scored, drop, bench, note)
        confirmed = bench.confirmed(record.chosen, kept)
        record = _confirmed(record, confirmed[1].compared)
        result = bench.network_of(record.chosen, kept)
        result.history += [*bench.found(FLOAT, kept), *bench.found(record.chosen, kept), *confirmed, record]
    return result


def _until(bench: Bench, scored: Evaluated, drop: float, kept: RunFolder) -> tuple[Tried, ...]:
    """One attempt after another, up to the first within the drop."""
    tried: list[Tried] = []
    for attempt in bench.attempts:
        made = bench.tried(attempt, scored, kept)
        tried.append(replace(made, reason=_reason(made, drop, scored.unit)))
        if _within(made, drop):
            break
    return tuple(tried)


def _within(tried: Tried, drop: float) -> bool:
    return tried.drop is not None and tried.drop <= drop


def _reason(tried: Tried, drop: float, unit: str) -> str:
    """Why an attempt was taken or left; one that could not be made has said so."""
    if tried.drop is None:
        return tried.reason
    undecided = tried.compared is None or tried.compared.within(drop) == UNDECIDED
    doubt = ", which is within its error" if undecided else ""
    if _within(tried, drop):
        return f"within the drop that is allowed{', as measured' if undecided else ''}"
    return f"drops {difference(tried.drop - drop, unit).removeprefix('+')} too much{doubt}"


def _decided(tried: tuple[Tried, ...], scored: Evaluated, drop: float, bench: Bench, note: Tried) -> Reached:
    """The last attempt if it is within the drop, else the one that drops least."""
    made = [one for one in tried if one.drop is not None and one.cost is not None]
    if not made:
        raise GraphError("network", f"allows no attempt; {tried[-1].name} {tried[-1].reason}", remedy=REMEDY)
    met = _within(tried[-1], drop)
    best = tried[-1] if met else min(made, key=lambda one: (_comparable(one.drop), one.cost))
    names = f"{len(tried)} attempt{'' if len(tried) == 1 else 's'}"
    reason = f"{best.name} is the first within the drop, of {names}"
    if not met:
        reason = f"none of {names} is within the drop, and {best.name} drops least"
    assert note.cost is not None
    return Reached(
        metric=scored.metric,
        unit=scored.unit,
        fp_value=scored.value,
        samples=scored.samples,
        drop=drop,
        target=bench.settings.target.name,
        cost=bench.cost,
        cost_unit=price(bench.cost).unit,
        fp_cost=note.cost,
        attempts=tried,
        chosen=best.name,
        met=met,
        reason=reason,
    )


def _confirmed(record: Reached, compared: Compared | None) -> Reached:
    """The decision, with what other samples say of it."""
    if compared is None:
        return record
    error, samples = compared.standard_error, compared.samples
    needed = None if error is None else samples_to_decide(compared.drop, error, samples, margin=record.drop)
    return replace(record, met=compared.drop <= record.drop, confirmed=compared, samples_to_decide=needed)


def _comparable(drop: float | None) -> float:
    """No score is worse than any."""
    return math.inf if drop is None or math.isnan(drop) else drop


# What is given --------------------------------------------------------------------------------------------------------


def _check(network: Network, drop: float, attempts: Sequence[Attempt]) -> None:
    names = [attempt.name for attempt in attempts]
    if math.isnan(drop):
        raise SettingError("drop", "is not a number", remedy="say how much worse than FP32 the metric may be")
    if not names or len(set(names)) < len(names) or FLOAT in names:
        raise SettingError(
            "attempts", f"are called {names}", remedy=f"give at least one, each with a name of its own, and not {FLOAT}"
        )
    if network.quantizers or any(layer.quantizer for layer in network.layers):
        raise GraphError("network", "has quantizers already", remedy="start from the network before it was quantized")


def _held(data: Batches, samples: int) -> Batches:
    """The first inputs, in memory, so that every attempt sees the same."""
    held = [Batch(inputs, None) for inputs, _ in first(data, samples)]
    count = sum(data.count(inputs) for inputs, _ in held)
    return replace(data, start=lambda: iter(held), samples=count, labelled=False, bind=None, settled=True)
