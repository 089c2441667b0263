"""Where quantizers stand, as tables: a small network, a target, the values that are quantized."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import microjoule as mj
from microjoule.costs.target import names, target
from microjoule.graph.ops import kind
from microjoule.quantization.placement import find_places
from tests.capture.models import MODELS


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


def table(module, x, name, excluded=frozenset()):
    return sorted(places(mj.capture(module.eval(), x), name, excluded))


IMAGES = torch.randn(2, 4, 6, 6)
NAMES = {"onnxruntime", "per-tensor", "qualcomm-htp", "tflite-micro", "xnnpack"}


def test_the_shipped_targets_are_those_of_the_tables():
    assert set(names()) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_batch_norms_that_were_not_folded_keep_the_layer_apart(name):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    assert len(table(module, IMAGES, name)) == 4  # the input, both convolutions, and what the second one reads


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_activation_that_others_read_the_layer_beside_is_not_fused(name):
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            y = self.conv(x)
            return y + y.relu()

    assert table(Beside(), IMAGES, name) == ["add", "conv", "relu", "x"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("onnxruntime", 2), ("per-tensor", 2), ("qualcomm-htp", 2), ("tflite-micro", 1), ("xnnpack", 2)],
)
def test_the_mean_over_windows_has_a_scale_of_its_own_but_on_microcontrollers(name, expected):
    found = table(nn.Sequential(nn.AvgPool2d(2)), IMAGES, name)
    assert len(found) == (expected if name != "tflite-micro" else 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("onnxruntime", True), ("per-tensor", True), ("qualcomm-htp", True), ("tflite-micro", True), ("xnnpack", False)],
)
def test_softmax_runs_in_integer_where_the_target_says_so(name, expected):
    found = table(nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), torch.randn(2, 4), name)
    assert len(found) == (3 if expected else 2)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_output_of_attention_is_quantized_where_it_is_made_or_read_in_integer(name):
    module, x = MODELS["attention"]
    network = mj.capture(module.eval(), x)
    (attention,) = [node for node in network.graph.nodes if kind(network.module, node) == "attention"]
    assert attention.name in places(network, name)
    assert (attention.name in places(network, name, {"proj"})) is (name == "qualcomm-htp")


def test_scales_shared_over_a_chain_of_concatenations_are_one():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            first = torch.cat([x, self.a(x)], 1)
            return torch.cat([F.max_pool2d(first, 2), F.max_pool2d(self.b(first), 2)], 1)

    shared = places(mj.capture(Dense(), IMAGES), "tflite-micro")
    assert len(shared) >= 4
    assert len({place.shares for place in shared.values()}) == 1
    network = mj.capture(Dense(), IMAGES)
    mj.quantize(network, target="tflite-micro")
    assert len(set(network.quantizers.values())) == 1


def test_an_excluded_layer_takes_its_activation_with_it():
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU())
    network = mj.capture(module, IMAGES)
    found = places(network, "onnxruntime", {"2"})
    assert [place.layer for place in found.values()] == [None, "0"]


def test_two_groups_that_a_concatenation_joins_are_one_with_all_their_members():
    class Tree(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = (nn.Conv2d(4, 4, 1) for _ in range(4))

        def forward(self, x):
            return torch.cat([torch.cat([self.a(x), self.b(x)], 1), torch.cat([self.c(x), self.d(x)], 1)], 1)

    shared = places(mj.capture(Tree(), IMAGES), "tflite-micro")
    assert {name: place.shares.name for name, place in shared.items()} == {
        "x": "x",
        **dict.fromkeys(["a", "b", "cat", "c", "d", "cat_1", "cat_2"], "a"),
    }


def test_an_activation_after_an_excluded_layer_is_nobodys_output():
    network = mj.capture(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)), IMAGES)
    assert [place.layer for place in places(network, "onnxruntime", {"0"}).values()] == [None, "2"]
