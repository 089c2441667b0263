"""`microjoule evaluate`: a metric of a model on labelled data."""

from typing import Annotated

import typer

from microjoule.cli.data import Reading, find_data
from microjoule.cli.keep import history_keeper, keep
from microjoule.cli.models import find_model, stage_name
from microjoule.cli.options import (
    DataSource,
    Json,
    Keep,
    ModelSource,
    Normalise,
    Samples,
    Seed,
    Shape,
    Size,
    Stage,
    ZooData,
)
from microjoule.cli.output import finish
from microjoule.cli.seed import seed_everything
from microjoule.execution.evaluate import evaluate as evaluate_network
from microjoule.report.tables import evaluations
from microjoule.report.terminal import rich_table
from microjoule.zoo.metrics import METRICS
from microjoule.zoo.metrics import metric as find_metric

METRIC_HELP = f"One of {', '.join(METRICS)}.  [default: the zoo model's own, else top1]"


def evaluate(
    *,
    model: ModelSource,
    data: DataSource,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help=METRIC_HELP)] = None,
    size: Size = None,
    normalise: Normalise = None,
    samples: Samples = None,
    stage: Stage = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score a model, quantized or not, on labelled data.

    \b
    microjoule evaluate zoo:digits_mobilenet_v2 --data zoo:digits_test
    microjoule evaluate model.mj --data images/ --normalise imagenet --samples 500
    microjoule evaluate model.mj --data test.npz --keep model.mj
    """
    seed_everything(seed)
    keeper = history_keeper(keep_in)
    found = find_model(model, shape=shape, zoo_data=zoo_data)
    chosen = find_metric(metric or (found.card.metric if found.card else None) or "top1")
    batches = find_data(data, found, Reading(size, normalise, samples, zoo_data))
    record = evaluate_network(found.network, batches, chosen, stage=stage or stage_name(found.network))
    keep(keeper, keep_in, [record])
    finish([record], rich_table(evaluations([record])), as_json=json)
