"""Training in words: the outcome first, then what a reader may ask next."""

from dataclasses import replace

from microjoule.records.learned import BayesianPruned
from microjoule.report.learned import bayesian_pruned, trained
from tests.report import samples

RUN = samples.trained()


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


def test_learned_pruning_tells_how_much_smaller_and_where():
    units = {"conv": (20, 8)}
    sizes = {"parameters_before": 4000, "parameters_after": 400, "size_bits": 3200}
    record = BayesianPruned("vib", "photos", 2, 1.0, 0.0, units, {"fc": (800, 88)}, **sizes, bits={}, seed=3, seconds=1)
    step = bayesian_pruned(record)
    assert step.summary == "4,000 parameters to 400: 10.0 × fewer"
    assert dict(step.details)["conv"] == "8 of 20 units"
    assert dict(step.details)["fc"] == "reads 88 of 800 inputs"
    rounded = bayesian_pruned(replace(record, bits={"fc": 9}))
    assert rounded.summary.endswith("10.0 × fewer, 40.0 × with the bits that matter")
    assert ("fc", "9 bits a weight") in rounded.details
