"""The choice of ratios by hand, and that the target is met by each scheme."""

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import aimet_recipe
from benchmarks.aimet_recipe import chosen_ratios, compressed, factorize, ratios_at, svd_weights
from benchmarks.alone import Images

SCORES = {
    "a": {0.1: 0.2, 0.5: 0.6, 0.9: 0.9},
    "b": {0.1: 0.5, 0.5: 0.4, 0.9: 0.8},
    "c": {0.1: 0.0, 0.5: 0.1, 0.9: 0.3},
}


@pytest.mark.parametrize(
    ("level", "ratios"),
    [
        (0.95, {}),
        (0.8, {"a": 0.9, "b": 0.9}),
        (0.5, {"a": 0.5, "b": 0.9}),
        (0.2, {"a": 0.1, "b": 0.1, "c": 0.9}),
        (0.0, {"a": 0.1, "b": 0.1, "c": 0.1}),
    ],
)
def test_each_layer_takes_the_smallest_ratio_down_to_which_all_reach_the_level(level, ratios):
    assert ratios_at(SCORES, level) == ratios


def tenths(ratios):
    """Three layers of ten multiply-accumulates each."""
    return sum(round(10 * ratios.get(path, 1.0)) for path in SCORES)


@pytest.mark.parametrize(
    ("budget", "ratios"),
    [
        (29, {"a": 0.9}),
        (28, {"a": 0.9, "b": 0.9}),
        (24, {"a": 0.5, "b": 0.9}),
        (16, {"a": 0.5, "b": 0.1}),
        (15, {"a": 0.5, "b": 0.1, "c": 0.9}),
        (0, {"a": 0.1, "b": 0.1, "c": 0.1}),
    ],
)
def test_the_highest_level_that_meets_the_budget(budget, ratios):
    scores = {**SCORES, "b": {0.1: 0.5, 0.5: 0.5, 0.9: 0.8}}
    assert chosen_ratios(scores, budget, tenths) == ratios


def test_layers_of_one_level_change_one_by_one_where_all_would_overshoot():
    scores = {path: {0.1: 0.0, 0.5: 0.7} for path in "abc"}
    assert ratios_at(scores, 0.7) == {"a": 0.5, "b": 0.5, "c": 0.5}
    assert chosen_ratios(scores, 20, tenths) == {"b": 0.5, "c": 0.5}


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    module, x = nn.Sequential(*layers).eval(), torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    module[6].bias.data -= module(x).mean(0)
    return mj.capture(module, x[:2])


@pytest.fixture
def images(network):
    x = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return Images(x, network(x).argmax(1), 20)


@pytest.mark.parametrize(("scheme", "macs"), [("svd", 0.75), ("pruning", 0.5), ("both", 0.5)])
def test_the_target_is_met(network, images, scheme, macs):
    whole = mj.costs(network.copy()).macs
    found = compressed(network, images, macs=macs, scheme=scheme)
    left = mj.costs(found).macs / whole
    assert left <= macs
    assert scheme == "both" or left > 0.5 * macs, "one coarse step after another may end far below"
    assert found(images.inputs).shape == (20, 4)
    assert len(network.layers) == 4, "the network that was given is as it was"
    assert any(layer.path.endswith(".first") for layer in found.layers) == (scheme != "pruning")


def test_half_is_three_quarters_by_svd_first():
    assert pytest.approx(0.75) == 0.5**aimet_recipe.SVD_SHARE


def test_known_scores_are_not_measured_again(network, images, monkeypatch):
    scores = {"svd": aimet_recipe.scores_of(network, images, "svd")}
    monkeypatch.setattr(aimet_recipe, "score_alone", lambda *_: pytest.fail("measured again"))
    assert mj.costs(compressed(network, images, macs=0.5, scheme="svd", known=scores)).macs > 0


def test_a_candidate_of_svd_is_what_the_factors_compute(network, images):
    weight = svd_weights(network)["2"][0.3][0]
    changed, factored = network.copy(), network.copy()
    changed.layer("2").owner.weight.data = weight
    factorize(factored, {"2": 0.3})
    torch.testing.assert_close(changed(images.inputs), factored(images.inputs), atol=1e-5, rtol=1e-4)
    ours, whole = ({layer.layer: layer.macs for layer in mj.costs(one).layers} for one in (factored, network))
    assert 0.2 * whole["2"] < ours["2.first"] + ours["2.second"] <= 0.3 * whole["2"]


def test_layers_of_one_tap_have_no_spatial_svd(network):
    assert set(svd_weights(network)) == {"0", "2", "4"}
