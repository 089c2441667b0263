"""Where quantizers stand, as tables: a small network, a target, the values that are quantized."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import microjoule as mj
from microjoule.costs.target import names, target
from microjoule.quantization.placement import find_places


class Cell(nn.Module):
    """Convolutions with activations, a sum, a concatenation, pooling, flattening and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(8 * 4, 5)

    def forward(self, x):
        a = F.relu(self.first(x))
        b = F.relu6(self.second(a) + a)
        joined = torch.cat([a, b], 1)
        return self.last(F.max_pool2d(joined, 2).flatten(1))


def network():
    return mj.capture(Cell(), torch.randn(2, 3, 4, 4))


def places(made, name, excluded=frozenset()):
    return {place.node.name: place for place in find_places(made, target(name), frozenset(excluded))}


@pytest.mark.parametrize("name", names())
def test_activations_fuse_and_pooling_and_flattening_pass(name):
    found = list(places(network(), name))
    assert found == ["x", "relu", "second", "hardtanh" if "hardtanh" in found else found[3], "cat", "last"]
    assert not any(word in value for value in found for word in ("pool", "flatten", "first"))


def test_the_layer_that_makes_a_value_is_known_through_its_activation():
    found = places(network(), "onnxruntime")
    assert found["relu"].layer == "first"
    assert found["second"].layer == "second"
    assert found["cat"].layer is None


def test_a_concatenation_shares_one_scale_only_where_the_target_wants_it():
    shared = places(network(), "tflite-micro")
    heads = {name: place.shares.name for name, place in shared.items()}
    assert (
        heads["cat"]
        == heads["relu"]
        == heads[next(n for n in heads if n not in ("x", "relu", "second", "cat", "last"))]
    )
    assert heads["x"] == "x"
    alone = places(network(), "onnxruntime")
    assert all(place.shares.name == name for name, place in alone.items())


def test_an_excluded_layer_keeps_its_inputs_and_outputs_in_floating_point():
    made = mj.capture(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)), torch.randn(2, 3))
    everything = list(places(made, "onnxruntime"))
    assert len(everything) == 4
    without_last = list(places(made, "onnxruntime", {"2"}))
    assert without_last == everything[:3]


def test_an_operator_that_does_not_run_in_integer_leaves_its_output_alone():
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GELU())
    found = list(places(mj.capture(module, torch.randn(2, 4)), "onnxruntime"))
    assert len(found) == 2
    on_hexagon = list(places(mj.capture(module, torch.randn(2, 4)), "qualcomm-htp"))
    assert len(on_hexagon) == 4


def test_indices_are_not_quantized():
    module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    made = mj.capture(module, torch.randint(0, 10, (2, 3)))
    assert "input" not in places(made, "onnxruntime")
