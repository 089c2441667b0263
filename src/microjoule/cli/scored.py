"""A model, and how and on what it is scored."""

from dataclasses import dataclass
from pathlib import Path

from microjoule.cli.data import Reading, find_both
from microjoule.cli.models import Model, find_model
from microjoule.execution.batches import Batches
from microjoule.execution.evaluate import Metric
from microjoule.zoo.metrics import metric as find_metric


@dataclass(frozen=True, slots=True)
class Task:
    """What a search needs.

    Args:
        model: in floating point.
        metric: by which it is scored.
        labelled: on which it is scored.
        inputs: for the methods; None for those of `labelled`.
    """

    model: Model
    metric: Metric
    labelled: Batches
    inputs: Batches | None


def find_task(
    source: str,
    data: str,
    calibration: str | None,
    reading: Reading,
    *,
    metric: str | None,
    shape: str | None,
    inputs: int,
    device: str | None,
) -> Task:
    """The model, the metric and the data that a command line names.

    Args:
        source: as `find_model` takes it.
        data: as the source of `find_data`.
        calibration: likewise, or None.
        reading: how data is read.
        metric: its name; None if none was asked for.
        shape: as `find_model` takes it.
        inputs: how many calibration inputs are used.
        device: as `find_model` takes it.

    Raises:
        MicrojouleError: as these.
    """
    found, chosen = model_and_metric(source, metric, shape=shape, zoo_data=reading.zoo_data, device=device)
    return Task(found, chosen, *find_both(data, calibration, found, reading, calibration_samples=inputs))


def model_and_metric(
    source: str, metric: str | None, *, shape: str | None, zoo_data: Path | None, device: str | None
) -> tuple[Model, Metric]:
    """The model and the metric: what was asked for, the one of the model's card, or top1.

    Args:
        source: as `find_model` takes it.
        metric: its name; None if none was asked for.
        shape: as `find_model` takes it.
        zoo_data: likewise.
        device: likewise.

    Raises:
        MicrojouleError: as `find_model`, and for a metric that there is not.
    """
    found = find_model(source, shape=shape, zoo_data=zoo_data, device=device)
    return found, find_metric(metric or found.metric)
