"""The figure is the difference of both recipes at the same widths, fitted to the same images."""

from functools import partial

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import qdrop
from benchmarks.partial_results import Partial
from benchmarks.subjects import Subject

X = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def given():
    network = mj.capture(nn.Sequential(nn.Linear(3, 3, bias=False)), X[:2])
    with torch.no_grad():
        next(iter(network.module.parameters())).copy_(torch.eye(3))
    return Subject(network, (X, X.argmax(1)), mj.zoo.metric("top1"), (0.0, 1.0), "toy")


def wrong_for(network, share):
    """The network that takes a share of the samples for another class."""
    found = network.copy()
    with torch.no_grad():
        next(iter(found.module.parameters()))[0] *= 1 - share
    return found


def test_what_qdrop_gains_is_told_with_its_error(given, monkeypatch, tmp_path):
    asked = []

    def recipe(name, share, network, data, **bits):
        asked.append((name, data, bits))
        return wrong_for(network, share)

    monkeypatch.setattr(qdrop, "subject", lambda *_, **__: given)
    monkeypatch.setattr(qdrop, "images", lambda name, data, count, seed: f"{count} images {seed}")
    recipes = {"AdaRound": partial(recipe, "AdaRound", 0.5), "QDrop": partial(recipe, "QDrop", 0.2)}
    monkeypatch.setattr(qdrop, "RECIPES", recipes)
    (part,) = qdrop.parts(tmp_path)
    exact, adaround, blocks, gain = part.measure(Partial())
    assert exact.value == 100.0
    assert adaround.value > blocks.value > 0
    assert gain.value == pytest.approx(adaround.value - blocks.value)
    assert (gain.goal, gain.error > 0, len(gain.evidence["values"])) == (">= 4.0", True, 3)
    bits = {"weights": 4, "activations": 4, "input_range": (0.0, 1.0)}
    images = [(name, f"128 images {seed}", {**bits, "seed": seed}) for name in recipes for seed in (0, 1, 2)]
    assert asked == images
