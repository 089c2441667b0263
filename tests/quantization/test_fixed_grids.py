"""Grids that no data changes: of a softmax and its like and of stored operands, in every rule and recipe."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.costs.target import names
from microjoule.errors import InputRangeWarning
from microjoule.numerics.ranges import mse
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.range_setting import quantizer_nodes
from tests.capture.models import Function

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)
        self.shift = nn.Parameter(torch.tensor([0.5, -0.25, 0.0, 1.0]))

    def forward(self, x):
        hidden = self.a(x)
        return self.b(hidden.softmax(1) * (hidden - 9).sigmoid() * hidden.tanh() + self.shift)


STEPS = {
    "onnxruntime": {"softmax": 1 / 256, "sigmoid": 1 / 255},
    "per-tensor": {"softmax": 1 / 256, "sigmoid": 1 / 255, "tanh": 2 / 255},
    "qualcomm-htp": {"softmax": 1 / 256, "sigmoid": 1 / 255, "tanh": 2 / 255},
    "tflite-micro": {"softmax": 1 / 256, "sigmoid": 1 / 256, "tanh": 1 / 128},
    "xnnpack": {"sigmoid": 1 / 256, "tanh": 1 / 128},
}


def scales(network):
    return {
        name: quantizer.affine.scale.item() for name, quantizer in network.quantizers.items() if quantizer.calibrated
    }


@pytest.mark.parametrize("target", names())
def test_they_have_their_grid_before_any_data_and_keep_it(target):
    network = mj.capture(Gated().eval(), X)
    mj.quantize(network, target=target)
    before = {name: scale for name, scale in scales(network).items() if name in STEPS[target]}
    assert before == pytest.approx(STEPS[target], rel=1e-7)
    mj.calibrate(network, X, rule=mse)
    with pytest.warns(InputRangeWarning, match="in other data"):
        mj.calibrate(network, X * 2)
    mj.avoid_ties(network)
    after = scales(network)
    assert {name: after[name] for name in before} == before
    assert after["shift"] == pytest.approx(1.25 / 255)


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor"])
@pytest.mark.parametrize("recipe", ["naive", "data_free", "gptq", "adaround", "qdrop"])
def test_every_recipe_leaves_them(recipe, target):
    network = mj.capture(Gated().eval(), X)
    more = {"adaround": {"iterations": 5}, "qdrop": {"iterations": 3}}.get(recipe, {})
    bits = 4 if recipe == "qdrop" else 8
    if recipe == "data_free":
        quantized = mj.recipes.data_free(network, target=target, data=X)
    else:
        quantized = getattr(mj.recipes, recipe)(network, X, target=target, **more)
    assert scales(quantized)["softmax"] == pytest.approx(2.0**-bits)


def test_a_value_that_no_data_changes_is_told_apart():
    network = mj.capture(Gated().eval(), X)
    mj.quantize(network)
    places = quantizer_nodes(network)
    fixed = fixed_quantizers(network, places)
    assert {node.all_input_nodes[0].name for node, one in places.items() if one in fixed} >= {
        "softmax",
        "sigmoid",
        "shift",
    }
    assert not {node.all_input_nodes[0].name for node, one in places.items() if one in fixed} & {"x", "a", "b"}


MANY = [(32, "onnxruntime", True), (33, "onnxruntime", False), (33, "tflite-micro", True)]


@pytest.mark.parametrize(("size", "target", "integer"), MANY)
def test_a_softmax_over_many_keeps_its_own_range_unless_the_hardware_says_otherwise(size, target, integer):
    """A share of 1/33 would be less than 8 steps of 1/256."""
    torch.manual_seed(0)
    module = Function(lambda m, x: m.b((m.a(x) * 0.1).softmax(1)), a=nn.Linear(4, size), b=nn.Linear(size, 2))
    network = mj.capture(module.eval(), X)
    mj.quantize(network, target=target)
    mj.calibrate(network, X)
    assert (network.quantizers["softmax"].affine.scale.item() == 1 / 256) is integer
