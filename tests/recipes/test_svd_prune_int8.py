"""Compressed and quantized: the deployed file computes what the simulation says, and the history tells all of it."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import SettingError
from microjoule.recipes.svd_prune_int8 import svd_prune_int8
from microjoule.records.compressed import Compressed
from microjoule.records.facts import Run
from microjoule.records.measured import Evaluated

X = torch.randn(48, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3), nn.ReLU())
    return mj.capture(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 4)).eval(), X[:2])


@pytest.fixture(scope="module")
def labelled(network):
    return X, network(X).argmax(1)


def exact(network, path, inputs):
    mj.export(network, path)
    for record in mj.verify(network, path, inputs):
        assert record.first_departure is None
        assert all(layer.equal_share == 1 for layer in record.layers)


@pytest.mark.slow
def test_half_the_work_in_integers_is_verified_layer_by_layer(network, labelled, tmp_path):
    made = svd_prune_int8(network, labelled, mj.zoo.metric("top1"), calibration=X, multiple=1)
    (record,) = (one for one in made.history if isinstance(one, Compressed))
    assert record.cost_after <= record.budget == 0.5 * mj.costs(network.copy()).macs
    assert mj.costs(made).macs == record.cost_after
    assert {layer.quantizer.scheme.grid.bits for layer in made.layers} == {8}
    assert [one.stage for one in made.history if isinstance(one, Evaluated)] == [
        *("original", "compressed"),  # on what ways were chosen by
        *("original", "compressed", "compressed W8A8"),  # on what nothing was chosen by
    ]
    assert [one.recipe for one in made.history if isinstance(one, Run)] == ["compress", "data_free", "svd_prune_int8"]
    exact(made, tmp_path / "x.onnx", X[:8])
    assert not network.quantizers


@pytest.mark.slow
def test_the_digits_network_is_verified_layer_by_layer(tmp_path):
    images = torch.stack([image for image, _ in mj.zoo.dataset("digits_train", limit=64)])
    test = mj.zoo.dataset("digits_test", limit=16)
    network = mj.capture(mj.zoo.load("digits_mobilenet_v2"), images[:2])
    made = svd_prune_int8(network, test, mj.zoo.metric("top1"), macs=0.8, calibration=images, ways=(0.5,))
    exact(made, tmp_path / "digits.onnx", images[:8])


def test_fewer_bits_are_rounded_by_a_fit(network, labelled, tmp_path):
    given = {"size": 0.6, "ways": (1.0,), "weights": 4, "multiple": 2, "rounding": "gptq", "folder": tmp_path / "work"}
    made = svd_prune_int8(network, labelled, mj.zoo.metric("top1"), **given)
    assert {layer.quantizer.scheme.grid.bits for layer in made.layers} == {4}
    assert made.history[-1].settings == {
        "size": "0.6",
        "rounding": "gptq",
        "weights": "4",
        "activations": "8",
    }
    assert any((tmp_path / "work" / "rounded").iterdir())


def test_bad_input_is_refused(network, labelled):
    with pytest.raises(SettingError, match=r"rounding: is 'nearest'\n.*data_free, gptq, adaround"):
        svd_prune_int8(network, labelled, mj.zoo.metric("top1"), rounding="nearest")
    with pytest.raises(SettingError, match="criterion: is 'size'"):
        svd_prune_int8(network, labelled, mj.zoo.metric("top1"), criterion="size")
    with pytest.raises(SettingError, match="budget: is given 2 times"):
        svd_prune_int8(network, labelled, mj.zoo.metric("top1"), macs=0.5, size=0.5)
