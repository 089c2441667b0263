"""`microjoule evaluate`: a metric of a model on labelled data."""

from typing import Annotated

import typer

from microjoule.cli.data import Reading, find_data
from microjoule.cli.keep import history_keeper, keep
from microjoule.cli.models import find_model
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
from microjoule.execution.metrics import METRICS
from microjoule.execution.metrics import metric as find_metric
from microjoule.records.measured import Evaluated
from microjoule.report.comparisons import sentence
from microjoule.report.tables import evaluations
from microjoule.report.terminal import rich_table

METRIC_HELP = f"One of {', '.join(METRICS)}.  [default: the zoo model's own, else top1]"
REFERENCE_HELP = "A model to compare with, scored on the same data.  [default: the FP32 score in the history, if any]"


def evaluate(
    *,
    model: ModelSource,
    data: DataSource,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help=METRIC_HELP)] = None,
    size: Size = None,
    normalise: Normalise = None,
    samples: Samples = None,
    stage: Stage = None,
    reference: Annotated[str | None, typer.Option(metavar="MODEL", help=REFERENCE_HELP)] = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score a model, quantized or not, on labelled data, and compare it with FP32 on the same samples.

    \b
    microjoule evaluate zoo:digits_mobilenet_v2 --data zoo:digits_test --keep model.mj
    microjoule evaluate model.mj --data zoo:digits_test --keep model.mj
    microjoule evaluate model.mj --data images/ --normalise imagenet --reference fp32.mj
    """
    seed_everything(seed)
    keeper = history_keeper(keep_in)
    found = find_model(model, shape=shape, zoo_data=zoo_data)
    other = None if reference is None else find_model(reference, shape=shape, zoo_data=zoo_data).network
    chosen = find_metric(metric or (found.card.metric if found.card else None) or "top1")
    batches = find_data(data, found, Reading(size, normalise, samples, zoo_data))
    if keeper is not None:  # a score in floating point that an earlier command kept there
        found.network.history += [one for one in keeper.history if isinstance(one, Evaluated)]
    known = len(found.network.history)
    record = evaluate_network(found.network, batches, chosen, stage=stage, reference=other)
    keep(keeper, keep_in, found.network.history[known:])
    finish([record], rich_table(evaluations([record])), sentence(record), as_json=json)
