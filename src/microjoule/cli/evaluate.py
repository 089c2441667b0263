"""`microjoule evaluate`: a metric of a model on labelled data."""

from typing import TYPE_CHECKING

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import check_metric
from microjoule.cli.options import (
    Classes,
    DataSource,
    Device,
    Json,
    Keep,
    MetricName,
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

if TYPE_CHECKING:
    from microjoule.records.facts import Record


def evaluate(
    *,
    model: ModelSource,
    data: DataSource,
    metric: MetricName = None,
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
    microjoule evaluate zoo:digits_resnet --data zoo:digits_test
    microjoule evaluate model.mj --data images/ --normalise imagenet --samples 500
    microjoule evaluate model.mj --data test.npz --keep model.mj
    """
    check_metric(metric)
    work.seed_everything(seed)
    keeper = work.history_keeper(keep_in)
    reading = work.Reading(size, normalise, prepare, None, classes, samples, zoo_data, seed, shape, device)
    found, chosen = work.model_and_metric(model, metric, reading)
    before = len(found.network.history)
    batches = work.find_data(data, found, reading)
    record = mj.evaluate(found.network, batches, chosen, stage=stage or work.stage_name(found.network))
    records: list[Record] = [record, *work.notices(found.network.history[before:])]
    work.keep(keeper, keep_in, records)
    work.finish(records, work.rich_table(work.evaluations([record])), as_json=json)
