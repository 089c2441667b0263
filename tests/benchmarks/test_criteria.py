"""Every criterion is measured in the same way, on images that none has looked at."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import criteria
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.criteria import parts, smaller
from benchmarks.partial_results import Partial
from benchmarks.subjects import Subject
from microjoule.compression.criteria import CRITERIA

X = torch.rand(30, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def given(monkeypatch):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    layers[2].bias.data -= layers(X).mean(0).detach()  # so that more than one class is among the labels
    network = mj.capture(layers, X[:2])
    labels = network(X).argmax(1)
    subject = Subject(network, (X[:10], labels[:10]), mj.zoo.metric("top1"), (0.0, 1.0), "toy")
    found = Case(subject, Images(X[10:], labels[10:], 20))
    monkeypatch.setattr(criteria, "case", lambda name, data, seed=0: found)
    return found


def test_the_score_is_that_on_the_images_that_judge(given, tmp_path):
    found = smaller(tmp_path, "norm", 0)
    how = {"macs": 0.75, "ways": (1.0,), "criterion": "norm", "confirm": given.judges}
    made = mj.compress(given.given.network, (X[10:], given.images.labels), given.given.metric, **how)
    assert found.value == mj.evaluate(made, given.judges, given.given.metric).value
    assert (found.stage, found.samples, found.compared) == ("norm", 10, None)


def test_each_criterion_has_a_figure_over_three_seeds(given, monkeypatch, tmp_path):
    asked, real = [], mj.compress
    monkeypatch.setattr(mj, "compress", lambda *some, **how: asked.append(how) or real(*some, **how))
    made = parts(tmp_path)
    assert [part.name for part in made] == list(CRITERIA)
    for part in made[:2]:
        (figure,) = part.measure(Partial())
        assert figure.name == f"toy, 75% of the MACs by {part.name}, below the original"
        assert len(figure.evidence["values"]) == 3
        assert figure.error is not None
    expected = [(name, seed) for name in CRITERIA[:2] for seed in range(3)]
    assert [(how["criterion"], how["seed"]) for how in asked] == expected
    assert {(how["macs"], how["ways"]) for how in asked} == {(0.75, (1.0,))}
