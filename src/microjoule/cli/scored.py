"""A model, and how it is scored."""

from pathlib import Path

from microjoule.cli.models import Model, find_model
from microjoule.execution.evaluate import Metric
from microjoule.zoo.metrics import metric as find_metric


def model_and_metric(
    source: str, metric: str | None, *, shape: str | None, zoo_data: Path | None
) -> tuple[Model, Metric]:
    """The model and the metric: what was asked for, the zoo model's own, or top1.

    Args:
        source: as `find_model` takes it.
        metric: its name; None if none was asked for.
        shape: as `find_model` takes it.
        zoo_data: likewise.

    Raises:
        MicrojouleError: as `find_model`, and for a metric that there is not.
    """
    found = find_model(source, shape=shape, zoo_data=zoo_data)
    return found, find_metric(metric or (found.card.metric if found.card else None) or "top1")
