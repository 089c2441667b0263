"""A metric of a network (or a plain module) on labelled data."""

import time
from typing import Any, Protocol

import torch
from torch import nn

from microjoule.errors import DataError
from microjoule.execution.batches import Batches, batches
from microjoule.execution.class_order import ClassOrder
from microjoule.execution.device import Device, move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import run, to_device
from microjoule.execution.survey import Survey, watched
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.graph.notice import notice
from microjoule.graph.quantizer import Quantizer
from microjoule.records.measured import Evaluated


class Metric(Protocol):
    """What a metric must offer; it gathers batch after batch."""

    name: str
    unit: str

    def update(self, outputs: Any, targets: Any) -> None:
        """Take in one batch."""

    def compute(self) -> float:
        """The metric of all that was taken in."""

    def reset(self) -> None:
        """Forget all."""


@returns
def evaluate(
    model: Network | nn.Module,
    data: Any,
    metric: Metric,
    *,
    stage: str = "fp32",
    batch_size: int | None = None,
    device: Device = None,
) -> Evaluated:
    """Run a model on labelled data and score its outputs.

    Args:
        model: a network or a module; it runs in evaluation mode, and has its own mode again after.
        data: labelled data, in any form that `batches` takes.
        metric: the score; it is reset first.
        stage: which network this is, for the report.
        batch_size: samples a batch; None for 32, or fewer where samples are large.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The record; a network keeps it in its history as well.

    Raises:
        DataError: if the data has no labels, or does not fit.
    """
    move(model, device)
    source = batches(data, model, batch_size=batch_size)
    if not source.labelled:
        raise _no_targets(source)
    metric.reset()
    started, samples = time.perf_counter(), 0
    survey, order = Survey(model, source.name) if isinstance(model, Network) else None, ClassOrder(source.name)
    seen = source if survey is None else watched(source, survey)
    with in_evaluation(model.module if isinstance(model, Network) else model), torch.random.fork_rng(devices=[]):
        for inputs, targets in track(seen, f"evaluate {stage}", total=source.samples):
            if targets is None:
                raise _no_targets(source)
            outputs, targets = _outputs(model, inputs, targets)  # noqa: PLW2901 - now where the outputs are
            metric.update(outputs, targets)
            order.update(outputs, targets)
            samples += source.count(inputs)
    if survey is not None and isinstance(model, Network):
        survey.warn()
        for noticed in order.notices(trained=not any(module.enabled for module in _quantizers(model))):
            notice(model, noticed)
    record = Evaluated(
        stage, metric.name, metric.compute(), metric.unit, samples, source.name, time.perf_counter() - started
    )
    if isinstance(model, Network):
        model.history.append(record)
    return record


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
