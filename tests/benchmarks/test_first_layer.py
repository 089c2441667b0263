"""The first layer alone is rounded, and AdaRound is held against the best draw."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import first_layer
from benchmarks.first_layer import figures, rounded
from benchmarks.subjects import Subject


def toy():
    torch.manual_seed(0)
    x = torch.randn(60, 3, 6, 6)
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval(), x[:2])
    return Subject(network, (x, network(x).argmax(1)), mj.zoo.metric("top1"), (0.0, 1.0), "toy")


def test_all_but_the_first_layer_stay_in_floating_point():
    seen = []
    assert rounded(toy(), seen.append, "as it is").value > 50
    (network,) = seen
    assert [layer.quantizer is not None for layer in network.layers] == [True, False]
    assert not any(quantizer.enabled for quantizer in network.quantizers.values())


def test_every_rule_has_its_figure(monkeypatch, tmp_path):
    given = toy()
    monkeypatch.setattr(first_layer, "subject", lambda *_, **__: given)
    monkeypatch.setattr(first_layer, "images", lambda *_, seed: given.labelled[0])
    found = {figure.name.rpartition("bits, ")[2]: figure for figure in figures(tmp_path)}
    assert list(found) == [
        *(f"{how}, below FP32" for how in ("nearest", "floor", "ceil")),
        *("stochastic, mean below FP32", "stochastic, best below FP32", "AdaRound, below FP32"),
        "AdaRound above the best of 10 draws",
    ]
    best, mean = (found[f"stochastic, {one} below FP32"] for one in ("best", "mean"))
    assert best.value == min(mean.evidence["values"]) <= mean.value
    above = found["AdaRound above the best of 10 draws"]
    assert above.value == pytest.approx(best.value - found["AdaRound, below FP32"].value)
    assert (above.goal, len(above.evidence["values"])) == (">= 0", 3)
