import pytest
import torch

import microjoule as mj
from microjoule.execution.run import unquantized
from microjoule.quantization.ptq import gptq as compensating
from microjoule.recipes.learned_rounding import FIRM
from microjoule.records.facts import Calibrated, NoiseEqualized, Reconstructed, Run
from microjoule.records.rounded import TiesAvoided
from tests.recipes.test_data_free import network_of

RECIPES = {"adaround": lambda *a, **k: mj.recipes.adaround(*a, iterations=100, **k), "gptq": mj.recipes.gptq}


def kinds(network):
    return [type(record) for record in network.history]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("target", "weights"), [("per-tensor", 2), ("onnxruntime", 4)])
def test_outputs_are_nearer_to_floating_point_than_with_the_naive_recipe(recipe, target, weights):
    network, data = network_of()
    before = len(network.history)
    found = RECIPES[recipe](network, data, target=target, weights=weights, input_range=(-3, 3))
    plain = mj.recipes.naive(network, data, target=target, weights=weights)
    lost = [(each(data) - network(data)).square().mean().item() for each in (found, plain)]
    assert lost[0] < 0.5 * lost[1]
    assert (NoiseEqualized in kinds(found)) == (target == "per-tensor")
    assert {Reconstructed, TiesAvoided, Run} <= set(kinds(found))
    assert len(network.history) == before, "the network that was given is left alone"
    with unquantized(found):
        torch.testing.assert_close(found(data), network(data), rtol=0, atol=0.2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_seed_gives_the_same_integers(recipe, tmp_path):
    network, data = network_of("no batch norms")
    one, other = (RECIPES[recipe](network, data, seed=3) for _ in range(2))
    for first, second in zip(one.layers, other.layers, strict=True):
        assert torch.equal(first.quantizer.integers, second.quantizer.integers)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_deployed_model_has_the_simulations_integers(recipe, tmp_path):
    network, data = network_of()
    found = RECIPES[recipe](network, data)
    mj.export(found, tmp_path / "x.onnx")
    for record in mj.verify(found, tmp_path / "x.onnx", data):
        assert all(layer.equal_share == 1.0 for layer in record.layers)


def test_bits_of_single_layers_and_the_settings_are_noted():
    network, data = network_of()
    found = mj.recipes.gptq(network, data, layers={network.layers[0].path: 8})
    assert [layer.quantizer.scheme.grid.bits for layer in found.layers] == [8, *[4] * (len(found.layers) - 1)]
    assert found.history[-1].settings["weights"] == "4"


@pytest.mark.parametrize(("activations", "rule"), [(8, "min_max"), (4, "mse")])
def test_activations_of_few_bits_are_clipped(activations, rule):
    network, data = network_of()
    found = mj.recipes.gptq(network, data, activations=activations)
    assert [record.rule for record in found.history if isinstance(record, Calibrated)] == [rule]


def test_qdrop_begins_with_weights_that_hold_on_firmly(monkeypatch):
    network, data = network_of()
    asked, gptq = [], compensating.gptq
    monkeypatch.setattr(compensating, "gptq", lambda *some, **how: asked.append(how["ridge"]) or gptq(*some, **how))
    mj.recipes.qdrop(network, data, weights=4, activations=4, iterations=1)
    assert asked == [FIRM]
