"""The first layer alone is rounded, and AdaRound is held against the best draw."""

import torch
from torch import nn

import microjoule as mj
from benchmarks import first_layer
from benchmarks.first_layer import figures, scored
from benchmarks.subjects import Subject


def toy():
    torch.manual_seed(0)
    x = torch.randn(60, 3, 6, 6)
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval(), x[:2])
    return Subject(network, (x, network(x).argmax(1)), mj.zoo.metric("top1"), (0.0, 1.0), "toy")


def test_all_but_the_first_layer_stay_in_floating_point():
    seen = []
    assert scored(toy(), seen.append) > 50
    (network,) = seen
    assert [layer.quantizer is not None for layer in network.layers] == [True, False]
    assert not any(quantizer.enabled for quantizer in network.quantizers.values())


def test_every_rule_has_its_figure(monkeypatch, tmp_path):
    given = toy()
    monkeypatch.setattr(first_layer, "subject", lambda *_, **__: given)
    monkeypatch.setattr(first_layer, "images", lambda *_: given.labelled[0])
    found = {figure.name.rpartition("bits, ")[2]: figure for figure in figures(tmp_path)}
    assert list(found) == ["nearest", "floor", "ceil", "stochastic, mean", "stochastic, best", "AdaRound"]
    assert found["stochastic, best"].value >= found["stochastic, mean"].value
    assert found["AdaRound"].goal == f">= {found['stochastic, best'].value}"
