"""Scores with one layer changed, against the network evaluated whole with that change."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks.alone import Images, score_alone


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers).eval()


@pytest.fixture
def images(module):
    x = torch.randn(24, 2, 6, 6)
    return Images(x, torch.randint(3, (24,)), 23)


def test_each_weight_scores_as_the_network_that_has_it_does(module, images):
    network = mj.capture(module, images.inputs[:2])
    weights = {
        path: {ratio: (torch.randn_like(module.get_parameter(f"{path}.weight")), torch.randn(size))}
        for path, size, ratio in (("0", 4, 0.5), ("2", 3, 0.25))
    }
    found = score_alone(network, images, weights)
    for path, each in weights.items():
        ((ratio, (weight, bias)),) = each.items()
        changed = network.copy()
        changed.layer(path).owner.weight.data, changed.layer(path).owner.bias.data = weight, bias
        right = changed(images.inputs[:23]).argmax(1) == images.labels[:23]
        assert found[path][ratio] == pytest.approx(right.float().mean().item())
        assert 0 < found[path][ratio] < 1


def test_the_network_is_as_it_was(module, images):
    network = mj.capture(module, images.inputs[:2])
    before = network(images.inputs)
    zeros = torch.zeros(4, 2, 3, 3), torch.ones(4)
    score_alone(network, images, {"0": {0.1: zeros}})
    assert torch.equal(network(images.inputs), before)


def test_without_a_bias_the_layer_keeps_its_own(module, images):
    network = mj.capture(module, images.inputs[:2])
    same = Images(images.inputs, module(images.inputs).argmax(1), 24)
    weight = network.layer("2").stored_weight.detach().clone()
    assert score_alone(network, same, {"2": {0.9: (weight, None)}}) == {"2": {0.9: 1.0}}
