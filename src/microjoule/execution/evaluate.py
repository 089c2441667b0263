"""A metric of a network (or a plain module) on labelled data, and what it differs by from the network's in FP32."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import Batches, batches
from microjoule.execution.class_order import ClassOrder
from microjoule.execution.compare import compare, why_apart
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import run, to_device
from microjoule.execution.sample_identity import SampleIdentity
from microjoule.execution.scoring import Metric, MetricLike, as_metric, higher_is_better, sample_scores, value_of
from microjoule.execution.survey import Survey, watched
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.graph.notice import notice
from microjoule.graph.quantizer import Quantizer
from microjoule.records.facts import Record
from microjoule.records.measured import Evaluated
from microjoule.records.stages import FLOAT, is_float, stage_name


def evaluate(
    model: Network | nn.Module,
    data: Any,
    metric: MetricLike,
    *,
    stage: str | None = None,
    batch_size: int | None = None,
    reference: Network | nn.Module | Evaluated | None = None,
    device: Device = None,
) -> Evaluated:
    """Run a model on labelled data, score its outputs, and compare it with another on the same samples.

    Args:
        model: a network or a module; it runs in evaluation mode, and has its own mode again after.
        data: labelled data, in any form that `batches` takes.
        metric: the score, which is reset first: the name of one ("top1", "miou", "psnr", "ap50"), an object with
            update, compute and reset, or a function of a batch's outputs and targets that gives a score a sample.
        stage: which network this is, for the report; by default its recipe and bits, or "fp32".
        batch_size: samples a batch; None for 32, or fewer where samples are large.
        reference: what it is compared with: a network or a module, which is then scored, too, or the record of one that
            was. None takes the score in floating point out of the network's history, if it is of the same samples.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The record; its `compared` is the difference with its error. A network keeps it in its history as well.

    Raises:
        DataError: if the data has no labels, or does not fit; or if the reference was scored on other samples.
        SettingError: for what is no metric, or no reference.
    """
    scored_by = as_metric(metric)

    def score(one: Network | nn.Module, called: str) -> Evaluated:
        return _scored(one, data, scored_by, called, batch_size, device)

    history = model.history if isinstance(model, Network) else []
    other = _reference(reference, score)
    record = score(model, stage or stage_name(history))
    record = _beside_float(record, history) if other is None else replace(record, compared=compare(record, other))
    history += [record] if other is None or other in history else [other, record]
    return record


@returns
def _scored(
    model: Network | nn.Module, data: Any, metric: Metric, stage: str, batch_size: int | None, device: Device
) -> Evaluated:
    move(model, device)
    source = batches(data, model, batch_size=batch_size)
    if not source.labelled:
        raise _no_targets(source)
    metric.reset()
    started, samples, identity = time.perf_counter(), 0, SampleIdentity()
    survey, order = Survey(model, source.name) if isinstance(model, Network) else None, ClassOrder(source.name)
    seen = source if survey is None else watched(source, survey)
    with in_evaluation(model.module if isinstance(model, Network) else model), torch.random.fork_rng(devices=[]):
        for inputs, targets in track(seen, f"evaluate {stage}", total=source.samples):
            if targets is None:
                raise _no_targets(source)
            identity.update(inputs, targets)
            outputs, targets = _outputs(model, inputs, targets)  # noqa: PLW2901 - now where the outputs are
            metric.update(outputs, targets)
            order.update(outputs, targets)
            samples += source.count(inputs)
    if survey is not None and isinstance(model, Network):
        survey.warn()
        for noticed in order.notices(trained=not any(module.enabled for module in _quantizers(model))):
            notice(model, noticed)
    value = value_of(metric)
    return Evaluated(
        stage=stage,
        metric=metric.name,
        value=value,
        unit=metric.unit,
        samples=samples,
        data=source.name,
        seconds=time.perf_counter() - started,
        higher_is_better=higher_is_better(metric),
        samples_id=identity.hexdigest(),
        scores=sample_scores(metric, value, samples),
    )


def _reference(
    given: Network | nn.Module | Evaluated | None, score: Callable[[Network | nn.Module, str], Evaluated]
) -> Evaluated | None:
    """The record of what a network is compared with, scored now if it is a model."""
    if given is None or isinstance(given, Evaluated):
        return given
    if isinstance(given, Network):
        record = score(given, stage_name(given.history))
        given.history.append(record)
        return record
    if isinstance(given, nn.Module):
        return score(given, FLOAT)
    fact = f"is a {type(given).__name__}"
    raise SettingError("reference", fact, remedy="give a network, a module, or the record of an evaluation")


def _beside_float(record: Evaluated, history: Sequence[Record]) -> Evaluated:
    """The record, compared with the last in floating point that can be; or with why none can."""
    if is_float(record.stage):
        return record
    found = [one for one in history if isinstance(one, Evaluated) and is_float(one.stage)]
    of_metric = [one for one in found if one.metric == record.metric]
    for other in reversed(of_metric):
        if why_apart(record, other) is None:
            return replace(record, compared=compare(record, other))
    return replace(record, apart=why_apart(record, of_metric[-1]) or "") if of_metric else record


def _quantizers(network: Network) -> list[Quantizer]:
    return [module for module in network.module.modules() if isinstance(module, Quantizer)]


def _no_targets(source: Batches) -> DataError:
    remedy = "give (inputs, targets), or name the key of the targets, mj.batches(data, targets='label')"
    return DataError(source.name, "has no targets", remedy=remedy)


def _outputs(model: Network | nn.Module, inputs: tuple[Any, ...], targets: Any) -> tuple[Any, Any]:
    """What a model gives, and the targets where that is."""
    if isinstance(model, Network):
        return run(model, inputs), to_device(targets, model.device)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        return model(*to_device(inputs, device)), to_device(targets, device)
