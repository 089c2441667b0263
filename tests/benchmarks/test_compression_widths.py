import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import compression_widths
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.subjects import Subject


@pytest.fixture
def given():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(32, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    x = torch.rand(20, 3, 8, 8)
    module = nn.Sequential(*layers).eval()
    module[4].bias.data -= module(x).mean(0)
    network, labels = mj.capture(module, x[:2]), module(x).argmax(1)
    return Case(Subject(network, (x, labels), mj.zoo.metric("top1"), (0.0, 1.0), "small"), Images(x, labels, 20))


def test_accuracy_and_latencies_of_each_network(given, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(compression_widths, "SHARES", {"small": 0.6})
    monkeypatch.setattr(compression_widths, "case", lambda name, data: given)
    ours = compression_widths.ours
    monkeypatch.setattr(compression_widths, "ours", lambda *some, **how: made.append(ours(*some, **how)) or made[-1])
    found = {figure.name: figure for figure in compression_widths.figures(tmp_path)}
    assert list(found) == [
        "small, multiples of 8, 60% of the MACs",
        *(f"small, {one}, {kind} latency" for one in ("original", "multiples of 8, 60%") for kind in ("FP32", "int8")),
    ]
    right = mj.evaluate(made[0], given.given.labelled, given.given.metric).value
    assert found["small, multiples of 8, 60% of the MACs"].value == pytest.approx(right)
    assert found["small, original, FP32 latency"].value == 1.0
    assert found["small, multiples of 8, 60%, int8 latency"].value > 0
    widths = {layer.out_channels for layer in made[0].layers} - {4}
    assert widths
    assert all(width % 8 == 0 for width in widths)
