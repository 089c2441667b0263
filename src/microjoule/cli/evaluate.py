"""`microjoule evaluate`: a metric of a model on labelled data."""

from typing import Annotated

import typer

from microjoule.cli.data import Reading, find_data
from microjoule.cli.describe import Words
from microjoule.cli.keep import history_keeper, keep
from microjoule.cli.models import find_model, stage_name
from microjoule.cli.options import (
    Classes,
    DataSource,
    Device,
    Json,
    Keep,
    ModelSource,
    Normalise,
    Prepare,
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
from microjoule.records.facts import Record
from microjoule.report.notices import notices
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
    prepare: Prepare = None,
    classes: Classes = None,
    samples: Samples = None,
    stage: Stage = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    device: Device = None,
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
    found = find_model(model, shape=shape, zoo_data=zoo_data, device=device)
    chosen, before = find_metric(metric or found.metric), len(found.network.history)
    words = Words(size, normalise, tuple(prepare or ()), None, classes)
    batches = find_data(data, found, Reading(words, samples, zoo_data, seed))
    record = evaluate_network(found.network, batches, chosen, stage=stage or stage_name(found.network))
    records: list[Record] = [record, *notices(found.network.history[before:])]
    keep(keeper, keep_in, records)
    finish(records, rich_table(evaluations([record])), as_json=json)
