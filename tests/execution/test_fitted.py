"""Fitted layers: back as they were, and done again where they cannot be a layer's."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.fitted import (
    Fitted,
    read_checked,
    read_fitted,
    write_fitted,
    wrong_integers,
    wrong_scale,
    wrong_values,
)
from microjoule.jobs.identity import Identity
from microjoule.jobs.run_folder import RunFolder

BIAS = torch.tensor([0.1, 0.2])
INTEGERS = torch.tensor([[1, -3, 3], [0, 2, -3]], dtype=torch.int32)


@pytest.fixture
def layer():
    network = mj.capture(nn.Sequential(nn.Linear(3, 2)).eval(), torch.zeros(2, 3))
    mj.quantize(network, weights=3, target="onnxruntime")
    mj.calibrate(network, torch.rand(8, 3))
    return network.layer("0")


@pytest.fixture
def run(tmp_path):
    with RunFolder(tmp_path / "run", Identity.of) as run:
        yield run


def test_a_layer_comes_back_bit_for_bit(layer, run):
    given = Fitted(INTEGERS, BIAS, 0.1 + 0.2, 1 / 3)
    write_fitted(run, layer, given)
    back = read_fitted(run, layer)
    assert torch.equal(back.integers, INTEGERS)
    assert torch.equal(back.bias, BIAS)
    assert (back.error_before, back.error_after, back.scale, back.weight) == (0.1 + 0.2, 1 / 3, None, None)


def test_a_scale_of_its_own_and_a_weight_in_floating_point_come_back(layer, run):
    affine = layer.quantizer.affine
    write_fitted(run, layer, Fitted(INTEGERS, BIAS, 0.5, 0.25, scale=affine.scale * 2, zero_point=affine.zero_point))
    assert torch.equal(read_fitted(run, layer).scale, affine.scale * 2)
    weight = torch.tensor([[1 / 3, -2.0, 0.0], [1.0, 2.0, 3.0]])
    write_fitted(run, layer, Fitted(None, BIAS, 0.5, 0.25, weight=weight))
    back = read_fitted(run, layer)
    assert back.integers is None
    assert torch.equal(back.weight, weight)


def test_what_was_not_kept_is_none(layer, run):
    assert read_fitted(run, layer) is None
    with RunFolder(None, Identity.of) as nowhere:
        write_fitted(nowhere, layer, Fitted(INTEGERS, BIAS, 0.5, 0.25))
        assert read_fitted(nowhere, layer) is None


RIGHT = Fitted(INTEGERS, BIAS, 0.5, 0.25)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (replace(RIGHT, integers=INTEGERS + 1), "its integers lie outside -3 to 3"),
        (replace(RIGHT, integers=INTEGERS.t()), r"its integers have shape \(3, 2\)"),
        (replace(RIGHT, integers=INTEGERS + 0.5), "its integers are no whole numbers"),
        (replace(RIGHT, bias=torch.zeros(3)), r"its bias has shape \(3,\), and not \(2,\)"),
        (replace(RIGHT, bias=torch.tensor([0.1, float("nan")])), "its bias is not finite"),
        (replace(RIGHT, integers=None), "it holds no weight, or two"),
        (replace(RIGHT, weight=torch.ones(2, 3)), "it holds no weight, or two"),
        (replace(RIGHT, integers=None, weight=torch.full((2, 3), float("inf"))), "its weight is not finite"),
        (replace(RIGHT, scale=torch.ones(2)), "it holds a scale or a zero point alone"),
        (replace(RIGHT, scale=torch.zeros(2), zero_point=torch.zeros(2)), "its scale is not above 0"),
        (replace(RIGHT, scale=torch.ones(3), zero_point=torch.zeros(3)), r"its scale has shape \(3,\)"),
        (replace(RIGHT, error_after="none"), "its errors are no numbers"),
        (replace(RIGHT, bias=None), "it is of another form"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_cannot_be_the_layers_is_done_again(layer, run, given, told):
    write_fitted(run, layer, given)
    with pytest.warns(UserWarning, match=f"is damaged \\(({told}).*; 0 is done again"):
        assert read_fitted(run, layer) is None


@pytest.mark.parametrize("text", ["", "[]", '{"dict": [["bias", 1]]}'])
def test_what_holds_no_layer_is_done_again(layer, run, text):
    run.write("0", text=text)
    with pytest.warns(UserWarning, match="it is of another form"):
        assert read_fitted(run, layer) is None


def test_integers_of_a_layer_in_floating_point_are_wrong():
    plain = mj.capture(nn.Sequential(nn.Linear(3, 2)), torch.zeros(2, 3)).layer("0")
    assert list(wrong_integers(INTEGERS, plain)) == ["it holds integers for a layer in floating point"]


def test_values_and_scales_by_hand(layer, run):
    assert list(wrong_values("bias", torch.ones(2), (2,))) == []
    assert list(wrong_scale(torch.tensor(0.5), ())) == []
    assert list(wrong_scale(torch.tensor([0.5, -0.1]), (2,))) == ["its scale is not above 0"]
    run.write("part", {"x": BIAS})
    assert torch.equal(read_checked(run, "part", lambda _: [], limit_bytes=10_000).tensors["x"], BIAS)
    with pytest.warns(UserWarning, match="at most"):
        assert read_checked(run, "part", lambda _: [], limit_bytes=10) is None
