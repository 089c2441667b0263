"""`microjoule evaluate`: a metric of a model on labelled data."""

import microjoule as mj
from microjoule.cli import work
from microjoule.cli.choices import check_metric
from microjoule.cli.options import (
    DataSource,
    Json,
    Keep,
    MetricName,
    ModelSource,
    Normalise,
    Samples,
    Seed,
    Shape,
    Size,
    Stage,
    ZooData,
)


def evaluate(
    *,
    model: ModelSource,
    data: DataSource,
    metric: MetricName = None,
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
    microjoule evaluate zoo:digits_resnet --data zoo:digits_test
    microjoule evaluate model.mj --data images/ --normalise imagenet --samples 500
    microjoule evaluate model.mj --data test.npz --keep model.mj
    """
    check_metric(metric)
    work.seed_everything(seed)
    keeper = work.history_keeper(keep_in)
    found, chosen = work.model_and_metric(model, metric, shape=shape, zoo_data=zoo_data)
    batches = work.find_data(data, found, work.Reading(size, normalise, samples, zoo_data))
    record = mj.evaluate(found.network, batches, chosen, stage=stage or work.stage_name(found.network))
    work.keep(keeper, keep_in, [record])
    work.finish([record], work.rich_table(work.evaluations([record])), as_json=json)
