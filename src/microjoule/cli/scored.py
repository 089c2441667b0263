"""A model, and how and on what it is scored."""

from dataclasses import dataclass

from microjoule.cli.data import Reading, find_both, find_data
from microjoule.cli.models import Model, find_model
from microjoule.cli.seed import seed_everything
from microjoule.execution.batches import Batches
from microjoule.execution.metrics import metric as find_metric
from microjoule.execution.scoring import Metric
from microjoule.graph.network import Network


@dataclass(frozen=True, slots=True)
class Task:
    """What a search needs.

    Args:
        model: in floating point.
        metric: by which it is scored.
        labelled: on which it is scored.
        inputs: for the methods; None for those of `labelled`.
        confirm: labelled, on which what was chosen is scored at the end; None for a part of `labelled`.
    """

    model: Model
    metric: Metric
    labelled: Batches
    inputs: Batches | None
    confirm: Batches | None

    @property
    def scored(self) -> tuple[Network, Batches, Metric]:
        """What is scored, on what, and how."""
        return self.model.network, self.labelled, self.metric


def find_task(
    source: str,
    data: str,
    reading: Reading,
    *,
    calibration: str | None,
    confirm: str | None,
    metric: str | None,
    inputs: int,
) -> Task:
    """The model, the metric and the data that a command line names.

    Args:
        source: as `find_model` takes it.
        data: as the source of `find_data`.
        reading: how model and data are read; its seed is that of every draw from here on.
        calibration: as the source of `find_data`, or None.
        confirm: likewise.
        metric: its name; None if none was asked for.
        inputs: how many calibration inputs are used.

    Raises:
        MicrojouleError: as these.
    """
    seed_everything(reading.seed)
    found, chosen = model_and_metric(source, metric, reading)
    labelled, fitted = find_both(data, calibration, found, reading, calibration_samples=inputs)
    others = None if confirm is None else find_data(confirm, found, reading)
    return Task(found, chosen, labelled, fitted, others)


def model_and_metric(source: str, metric: str | None, reading: Reading) -> tuple[Model, Metric]:
    """The model and the metric: what was asked for, the one of the model's card, or top1.

    Args:
        source: as `find_model` takes it.
        metric: its name; None if none was asked for.
        reading: how the model is read.

    Raises:
        MicrojouleError: as `find_model`, and for a metric that there is not.
    """
    found = find_model(source, shape=reading.shape, zoo_data=reading.zoo_data, device=reading.device)
    return found, find_metric(metric or found.metric)
