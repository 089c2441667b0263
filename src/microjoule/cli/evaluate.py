"""`microjoule evaluate`: a metric of a model on labelled data."""

from typing import TYPE_CHECKING, Annotated

import typer

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

Reference = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A model to compare with, scored on the same data.",
        show_default="the FP32 score in the history, if any",
    ),
]


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
    reference: Reference = None,
    keep_in: Keep = None,
    shape: Shape = None,
    zoo_data: ZooData = None,
    device: Device = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score a model, quantized or not, on labelled data, and compare it with FP32 on the same samples.

    \b
    microjoule evaluate zoo:digits_resnet --data zoo:digits_test --keep model.mj
    microjoule evaluate model.mj --data zoo:digits_test --keep model.mj
    microjoule evaluate model.mj --data images/ --normalise imagenet \\
        --reference fp32.mj
    """
    check_metric(metric)
    work.seed_everything(seed)
    keeper = work.history_keeper(keep_in)
    reading = work.Reading(size, normalise, prepare, None, classes, samples, zoo_data, seed, shape, device)
    found, chosen = work.model_and_metric(model, metric, reading)
    other = None if reference is None else work.find_model(reference, shape=shape, zoo_data=zoo_data).network
    batches = work.find_data(data, found, reading)
    if keeper is not None:  # a score in floating point that an earlier command kept there
        found.network.history += [one for one in keeper.history if isinstance(one, work.Evaluated)]
    known = len(found.network.history)
    record = mj.evaluate(found.network, batches, chosen, stage=stage, reference=other)
    made = found.network.history[known:]
    work.keep(keeper, keep_in, made)
    records: list[Record] = [record, *work.notices(made)]
    work.finish(records, work.rich_table(work.evaluations([record])), work.sentence(record), as_json=json)
