"""What may be given as a metric: names, objects, functions; what may not, with the cause."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from microjoule.errors import DataError, SettingError
from microjoule.execution.metrics import METRICS, Psnr, Top1
from microjoule.execution.scoring import PARTS, as_metric, higher_is_better, sample_scores, value_of
from microjoule.numerics.paired import pseudo_values

OUTPUTS, TARGETS = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 0, 0])


class Accuracy:
    """As torchmetrics has it: without name and unit, and compute gives a tensor."""

    def __init__(self, **own):
        self.__dict__.update(own)
        self.reset()

    def reset(self):
        self.right = []

    def update(self, preds, target):
        self.right += (preds.argmax(1) == target).tolist()

    def compute(self):
        return torch.tensor(self.right).float().mean()


def scored(given):
    metric = as_metric(given)
    metric.reset()
    metric.update(OUTPUTS, TARGETS)
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_a_name_is_a_fresh_metric(name):
    assert type(as_metric(name)) is METRICS[name]
    assert as_metric(name) is not as_metric(name)


def test_a_metric_is_itself():
    metric = Psnr()
    assert as_metric(metric) is metric


def test_an_object_without_name_and_unit_is_taken():
    metric = scored(Accuracy())
    assert (metric.name, metric.unit, value_of(metric)) == ("Accuracy", "", pytest.approx(2 / 3))
    assert sample_scores(metric, value_of(metric), 3) is None
    assert higher_is_better(metric)


@pytest.mark.parametrize(("own", "higher"), [({"higher_is_better": False}, False), ({"higher_is_better": None}, True)])
def test_it_says_whether_more_is_better(own, higher):
    assert higher_is_better(as_metric(Accuracy(**own))) is higher


def test_a_function_that_scores_each_sample_is_a_mean():
    def wrong(outputs, targets):
        return outputs.argmax(1) != targets

    metric = scored(wrong)
    assert (metric.name, metric.unit, value_of(metric)) == ("wrong", "", pytest.approx(1 / 3))
    assert sample_scores(metric, value_of(metric), 3).unpacked() == [0.0, 1.0, 0.0]
    assert scored(lambda outputs, _: outputs[:, 0]).name == "lambda"
    assert value_of(scored(nn.CrossEntropyLoss(reduction="none"))) == pytest.approx(
        functional.cross_entropy(OUTPUTS, TARGETS).item()
    )


def test_copies_gather_for_themselves():
    first = scored(Accuracy())
    second = copy.deepcopy(first)
    second.update(OUTPUTS, 1 - TARGETS)
    assert (value_of(first), value_of(second)) == (pytest.approx(2 / 3), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ("f1", r"metric: there is no 'f1'\n  choose one of top1, miou, psnr, ap50"),
        (Top1, r"metric: is the class Top1\n  give an object of it, Top1\(\)"),
        (int, r"metric: is the class int\n  give one of the names top1, "),
        (None, r"metric: is a NoneType\n  give one of the names top1, miou, psnr, ap50, a function of outputs and"),
        (SimpleNamespace(update=1, compute=2, reset=3), "metric: is a SimpleNamespace"),
        (lambda outputs: outputs, "metric: is a function"),
        (lambda outputs, targets, extra: outputs, "metric: is a function"),
    ],
    ids=["name", "class", "another class", "none", "no methods", "one argument", "three arguments"],
)
def test_what_is_no_metric_is_refused_with_the_cause(given, cause):
    with pytest.raises(SettingError, match=cause):
        as_metric(given)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (functional.cross_entropy, r"cross_entropy: gives a tensor of shape \(\) for a batch"),
        (lambda outputs, targets: outputs, r"lambda: gives a tensor of shape \(3, 2\) for a batch"),
        (lambda outputs, targets: 1.0, "lambda: gives a float for a batch"),
    ],
)
def test_a_function_that_gives_no_score_a_sample_is_refused(given, got):
    with pytest.raises(DataError, match=got):
        scored(given)


@pytest.mark.parametrize(("found", "got"), [(torch.ones(3), r"a tensor of shape \(3,\)"), ({"a": 1}, "a dict")])
def test_a_metric_that_is_no_number_is_refused(found, got):
    metric = as_metric(Accuracy())
    metric.compute = lambda: found
    with pytest.raises(DataError, match=f"Accuracy: gives {got}, and no number"):
        value_of(metric)


def stub(**own):
    return SimpleNamespace(name="own", unit="", **own)


def test_scores_must_be_those_of_the_samples():
    with pytest.raises(DataError, match="own: gives scores of 2 samples, and has seen 3"):
        sample_scores(stub(sample_scores=lambda: [1.0, 2.0]), 1.5, 3)
    with pytest.raises(DataError, match=r"own: gives scores of samples whose mean is 2, and is 1.41421\n.*leave_out"):
        sample_scores(stub(sample_scores=lambda: [1.0, 2.0, 3.0]), math.sqrt(2), 3)
    assert sample_scores(stub(sample_scores=lambda: torch.tensor([1.0, 3.0])), 2.00001, 2).unpacked() == [1.0, 3.0]
    assert sample_scores(stub(sample_scores=lambda: [math.inf, 1.0]), math.inf, 2).unpacked() == [math.inf, 1.0]


def test_a_metric_that_is_no_mean_is_left_parts_out():
    asked = []

    def leave_out(parts):
        asked.append(parts)
        return [float(part) for part in range(parts)]

    found = sample_scores(stub(leave_out=leave_out), 7.0, 4)
    assert found.unpacked() == pseudo_values(7.0, [0.0, 1.0, 2.0, 3.0])
    assert found.kind == "jackknife"
    assert sample_scores(stub(leave_out=leave_out), 7.0, 5000).count == PARTS
    assert asked == [4, PARTS]
    assert sample_scores(stub(leave_out=leave_out), 7.0, 1) is None
