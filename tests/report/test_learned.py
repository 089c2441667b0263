"""Training in words: the outcome first, then what a reader may ask next."""

from dataclasses import replace

from microjoule.records.trained import Trained
from microjoule.report.learned import trained

RUN = Trained(
    data="photos",
    samples=1000,
    epochs=2,
    steps=64,
    losses=(1.25, 0.5),
    metric="top1",
    unit="%",
    values=(70.25, 71.5),
    optimizer="sgd",
    learning_rate=0.05,
    seed=3,
    teacher=True,
    averaged=True,
    seconds=125.0,
)


def test_the_summary_tells_what_training_gave():
    step = trained(RUN)
    assert step.summary == "2 epochs of 1,000 samples: photos with a teacher, loss from 1.25 to 0.500, top1 71.50 %"


def test_each_epoch_is_told():
    details = dict(trained(RUN).details)
    assert details["epoch 1"] == "loss 1.25, top1 70.25 %"
    assert details["weights"] == "their moving average"
    assert details["optimizer"] == "sgd, learning rate 0.05 at its peak"


def test_nothing_is_told_that_was_not_measured():
    step = trained(replace(RUN, values=(), metric="", unit="", teacher=False, averaged=False))
    assert step.summary == "2 epochs of 1,000 samples: photos, loss from 1.25 to 0.500"
    assert dict(step.details)["epoch 2"] == "loss 0.500"
    assert dict(step.details)["weights"] == "those of the last step"
