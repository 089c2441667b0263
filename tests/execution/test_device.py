import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import microjoule as mj
from microjoule.errors import SettingError
from microjoule.execution.device import beside, find_device, move, returns
from microjoule.execution.distill import Teacher
from tests.execution.virtual_device import NAME, There, virtual_device


@pytest.fixture
def device(monkeypatch):
    with virtual_device(monkeypatch) as name:
        yield name


def model():
    """Small, as each operator takes long here."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU6(), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    ).eval()


torch.manual_seed(1)
X, Y = torch.randn(6, 1, 2, 2), torch.arange(6) % 2
TOP1 = mj.zoo.metric("top1")


@pytest.fixture(scope="module")
def captured():
    return mj.capture(model(), X[:2], card=mj.ModelCard((-4, 4)))


@pytest.fixture(scope="module")
def calibrated(captured):
    network = captured.copy()
    mj.fold_batch_norms(network)
    mj.quantize(network, target="per-tensor")
    mj.calibrate(network, X)
    return network


# Devices --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["abacus", "cuda:99", "cpu:x", "meta", 3.5])
def test_a_device_that_this_machine_lacks_is_refused(wrong):
    with pytest.raises(SettingError, match=f"device: is '{wrong}', which cannot be used here"):
        find_device(wrong)


def test_the_processor_is_a_device():
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")
    module = nn.Linear(2, 2)
    move(module, None)
    move(module, "cpu")


def test_a_function_may_move_what_it_is_given_for_as_long_as_it_runs(device, captured):
    @returns
    def seen(network, *, fail=False, device=None):
        move(network, device)
        if fail:
            raise ValueError
        return network.device.type

    network = captured.copy()
    assert seen(network) == "cpu"
    assert seen(network, device=device) == NAME
    assert seen(device=device, network=network) == NAME
    assert network.device.type == "cpu"
    with pytest.raises(ValueError):  # noqa: PT011 - its own
        seen(network, fail=True, device=device)
    assert network.device.type == "cpu"
    made = returns(lambda network, device: network.copy().to(device))(network, device)
    assert made.device.type == "cpu"


def test_another_network_comes_to_the_device_as_a_copy(device, captured):
    assert beside(captured, captured) is captured
    there = captured.copy().to(device)
    assert beside(captured, there).device.type == NAME
    assert captured.device.type == "cpu"


def test_tensors_of_two_devices_do_not_meet(device):
    x = torch.ones(3).to(device)
    assert isinstance(x, There)
    assert (x + 1).cpu().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="two devices"):
        x + torch.ones(3)


# What runs there ------------------------------------------------------------------------------------------------------


def weights(network):
    return {name: value.detach().cpu() for name, value in network.state_dict().items()}


RECIPES = {
    "data-free": mj.recipes.data_free,
    "data-free from data": lambda network, **given: mj.recipes.data_free(network, target="per-tensor", data=X, **given),
    "gptq": lambda network, **given: mj.recipes.gptq(network, X, **given),
    "compress": lambda network, **given: mj.compress(network, (X, Y), TOP1, macs=0.9, ways=(0.5,), **given),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_the_same_network_on_another_device(name, device, captured, monkeypatch):
    recipes = sys.modules["microjoule.recipes.data_free"]
    monkeypatch.setattr(recipes, "equalize_noise", partial(mj.equalize_noise, steps=3))
    expected = weights(RECIPES[name](captured.copy()))
    made = RECIPES[name](captured.copy(), device=device)
    assert made.device.type == "cpu"
    found = weights(made)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


STEPS = {
    "observe": lambda network, **given: [
        network.preactivations[path].mean for path in mj.observe_statistics(network, X, **given).layers
    ],
    "smooth": lambda network, **given: list(mj.smooth(network, X, **given).groups.values()),
    "low rank": lambda network, **given: [mj.low_rank(network, {"6": 1}, data=X, **given).layers[0].error],
    "evaluate": lambda network, **given: mj.evaluate(network, (X, Y), TOP1, **given).value,
    "train": lambda network, **given: (
        mj.train(
            network, (X, Y), epochs=1, learning_rate=0.01, teacher=Teacher(network.copy()), ema=0.9, **given
        ).losses
    ),
    "bayesian": lambda network, **given: (
        mj.bayesian_prune(network, (X, Y), epochs=1, finetune_epochs=0, **given).parameters_after
    ),
    "calibrate": lambda network, **given: [one.high for one in mj.calibrate(network, X, **given).ranges],
    "correct biases": lambda network, **given: [one.before for one in mj.correct_biases(network, X, **given).shifts],
    "errors": lambda network, **given: [one.sqnr_db for one in mj.errors_by_layer(network, X, **given).layers],
    "histograms": lambda network, **given: [one.clipped for one in mj.histograms(network, X, **given).quantizers],
    "sensitivity": lambda network, **given: [
        row.sqnr_db for row in mj.sensitivity(network, (X, Y), TOP1, bits=(4,), **given).rows
    ],
}
QUANTIZED = list(STEPS)[6:]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_gives_the_same_on_another_device(name, device, captured, calibrated):
    source = calibrated if name in QUANTIZED else captured
    network = source.copy()
    expected, found = STEPS[name](source.copy()), STEPS[name](network, device=device)
    assert network.device.type == "cpu"
    for one, other in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        torch.testing.assert_close(torch.as_tensor(one).cpu(), torch.as_tensor(other))


def test_an_exported_file_is_verified_where_the_runtime_is(device, captured, tmp_path):
    network = mj.recipes.naive(captured, X)
    mj.export(network, tmp_path / "a.onnx")
    records = mj.verify(network.to(device), tmp_path / "a.onnx", X)
    assert network.device.type == NAME
    assert all(record.first_departure is None for record in records)
