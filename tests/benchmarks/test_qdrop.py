"""The figure is the difference of both recipes at the same widths, to the same images."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import qdrop
from benchmarks.qdrop import figures
from benchmarks.subjects import Subject


@pytest.mark.parametrize(("scores", "value", "met"), [((30.0, 34.5), 4.5, True), ((30.0, 29.0), -1.0, False)])
def test_what_qdrop_gains_is_told(monkeypatch, tmp_path, scores, value, met):
    network = mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.rand(2, 2))
    given = Subject(network, None, mj.zoo.metric("top1"), (0.0, 1.0), "toy")
    asked, order = [], iter(scores)
    monkeypatch.setattr(qdrop, "subject", lambda *_, **__: given)
    monkeypatch.setattr(qdrop, "images", lambda *_: "images")
    monkeypatch.setattr(qdrop, "score", lambda *_: next(order))
    for name in ("adaround", "qdrop"):
        monkeypatch.setattr(mj.recipes, name, lambda _, data, name=name, **bits: asked.append((name, data, bits)))
    (figure,) = figures(tmp_path)
    assert (figure.value, figure.met) == (value, met)
    bits = {"weights": 4, "activations": 4, "input_range": (0.0, 1.0)}
    assert asked == [("adaround", "images", bits), ("qdrop", "images", bits | {"iterations": 100})]
