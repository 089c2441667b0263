"""Every criterion is measured in the same way, on images that none has looked at."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import criteria
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.criteria import by_criterion, figures
from benchmarks.subjects import Subject
from microjoule.compression.criteria import CRITERIA

X = torch.rand(30, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def given():
    torch.manual_seed(0)
    network = mj.capture(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4)).eval(), X[:2])
    labels = network(X).argmax(1)
    subject = Subject(network, (X[:10], labels[:10]), mj.zoo.metric("top1"), (0.0, 1.0), "toy")
    return Case(subject, Images(X[10:], labels[10:], 20))


def test_the_figure_is_the_accuracy_on_the_images_that_judge(given):
    figure = by_criterion(given, "norm", 100.0)
    found = mj.compress(
        given.given.network, (X[10:], given.images.labels), given.given.metric, macs=0.75, methods=(), criterion="norm"
    )
    assert figure.value == mj.evaluate(found, given.judges, given.given.metric).value
    assert (figure.name, figure.unit, figure.goal) == ("toy, 75% of the MACs by norm", "%", None)
    told = f"{100 - figure.value:.2f} points below the original 100.00; 75.0% of the MACs; "
    assert figure.compared_with.startswith(told)


def test_each_criterion_has_a_figure(monkeypatch, tmp_path, given):
    asked, real = [], mj.compress
    monkeypatch.setattr(criteria, "case", lambda name, data: given)
    monkeypatch.setattr(mj, "compress", lambda *some, **how: asked.append(how) or real(*some, **how))
    before, *found = figures(tmp_path)
    assert (before.value, before.compared_with) == (100, "2 images")
    assert [figure.name.rpartition(" ")[2] for figure in found] == list(CRITERIA)
    assert [how["criterion"] for how in asked] == list(CRITERIA)
    assert {(how["macs"], how["ways"]) for how in asked} == {(0.75, (1.0,))}
