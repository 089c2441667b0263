"""Where quantizers stand, as tables: a small network, a target, the values that are quantized."""

import operator

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import microjoule as mj
from microjoule.costs.target import names, target
from microjoule.errors import GraphError
from microjoule.graph.decompose import decompose
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
    decompose(made, target(name).integer, excluded)
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
    rules = target(name)
    assert attention in [place.node for place in find_places(network, rules)]
    without = [place.node for place in find_places(network, rules, frozenset({"proj"}))]
    assert (attention in without) is (name == "qualcomm-htp")


def test_scales_shared_over_a_chain_of_concatenations_are_one():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(12, 4, 1)

        def forward(self, x):
            first = torch.cat([x, self.a(x)], 1)
            return self.c(torch.cat([F.max_pool2d(first, 2), F.max_pool2d(self.b(first), 2)], 1))

    shared = places(mj.capture(Dense(), IMAGES), "tflite-micro")
    assert len(shared) == 6
    assert len({place.shares for name, place in shared.items() if name != "c"}) == 1
    network = mj.capture(Dense(), IMAGES)
    mj.quantize(network, target="tflite-micro")
    assert len(set(network.quantizers.values())) == 2


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
            self.e = nn.Conv2d(16, 4, 1)

        def forward(self, x):
            return self.e(torch.cat([torch.cat([self.a(x), self.b(x)], 1), torch.cat([self.c(x), self.d(x)], 1)], 1))

    shared = places(mj.capture(Tree(), IMAGES), "tflite-micro")
    assert {name: place.shares.name for name, place in shared.items()} == {
        "x": "x",
        "e": "e",
        **dict.fromkeys(["a", "b", "cat", "c", "d", "cat_1", "cat_2"], "a"),
    }


def test_an_activation_after_an_excluded_layer_is_nobodys_output():
    network = mj.capture(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)), IMAGES)
    assert [place.layer for place in places(network, "onnxruntime", {"0"}).values()] == [None, "2"]


class Fn(nn.Module):
    """A function of a module's layers and its inputs."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


TOKENS = torch.randn(2, 5, 4)


def layers(*names):
    return {name: nn.Linear(4, 4) for name in names}


def test_a_stored_operand_gets_a_quantizer_and_a_layers_weight_does_not():
    module = Fn(lambda m, x: m.b(m.a(x) + m.table), **layers("a", "b"), table=nn.Parameter(torch.randn(5, 4)))
    network = mj.capture(module.eval(), TOKENS)
    record = mj.quantize(network)
    grids = {grid.name: grid.kind for grid in record.grids if grid.kind != "weight"}
    assert grids == {"table": "stored", "inputs_0": "input", **dict.fromkeys(("a", "add", "b"), "activation")}
    assert network.quantizers["table"].calibrated
    assert network.quantizers["table"].affine.scale.item() > 0


def test_before_the_first_layer_stored_operands_prepare_the_input():
    module = Fn(lambda m, x: m.a((x - 0.5) / m.spread * 2.0), **layers("a"), spread=nn.Parameter(torch.ones(4)))
    assert table(module, TOKENS, "onnxruntime") == ["a", "mul"]


def test_one_of_several_outputs_can_be_quantized():
    module = Fn(lambda m, x: m.b(m.a(x).topk(4, 1)[0] + m.a(x).sort(1)[0][:, :4]), **layers("a", "b"))
    found = table(module, TOKENS, "onnxruntime")
    assert [name for name in found if name.startswith("getitem")] == ["getitem", "getitem_2"], found
    module = Fn(lambda m, x: m.b(m.cell(x)[0]), cell=nn.LSTM(4, 4, batch_first=True), **layers("b"))
    found = places(mj.capture(module.eval(), TOKENS), "onnxruntime")
    assert [place.node.target for place in found.values()][0] is operator.getitem


def test_a_border_that_is_not_0_is_a_value_of_its_own():
    def padded(value):
        convs = {"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(4, 4, 1)}
        return Fn(lambda m, x: m.b(F.pad(m.a(x), (1, 1, 1, 1), value=value)), **convs)

    assert len(table(padded(0.0), IMAGES, "onnxruntime")) == 3
    assert len(table(padded(5.0), IMAGES, "onnxruntime")) == 4


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("join", [torch.cat, torch.stack], ids=["concatenation", "stack"])
def test_what_is_joined_for_the_output_keeps_a_grid_for_each_part(name, join):
    def outputs(m, x):
        return join([m.a(x) * 300.0, m.b(x).sigmoid()], 1).flatten(2).transpose(1, 2)[:, :3] * m.scale

    module = Fn(outputs, **layers("a", "b"), scale=nn.Parameter(torch.ones(1)))
    found = table(module, TOKENS, name)
    assert not any(word in value for value in found for word in ("cat", "stack", "scale"))
    assert "sigmoid" in found


def test_what_is_joined_and_read_on_has_one_grid():
    module = Fn(lambda m, x: (torch.cat([m.a(x), m.b(x)], 1), m.a(torch.cat([m.a(x), m.b(x)], 1))), **layers("a", "b"))
    assert [name for name in table(module, TOKENS, "onnxruntime") if "cat" in name] == ["cat_1"]


def test_scores_are_handed_on_in_floating_point_where_the_softmax_runs_so():
    def attention(m, x, keys):
        return m.c(((m.a(x) @ m.b(keys).transpose(1, 2)) * 0.5).softmax(-1) @ m.b(keys))

    few, many = (Fn(lambda m, x, n=n: attention(m, x, x.repeat(1, n, 1)), **layers("a", "b", "c")) for n in (1, 9))
    assert "matmul" in table(few, TOKENS, "onnxruntime")
    assert "matmul" not in table(many, TOKENS, "onnxruntime")
    assert "matmul" in table(many, TOKENS, "per-tensor")


def skipped(module, x, name="onnxruntime", **settings):
    network = mj.capture(module.eval(), x)
    record = mj.quantize(network, target=name, **settings)
    return {one.place: one.reason for one in record.skipped}


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_cells_are_told_to_stay_in_floating_point(cell):
    module = Fn(lambda m, x: m.b(m.cell(x)[0]), cell=cell(4, 4, batch_first=True), **layers("b"))
    assert skipped(module, TOKENS) == {"cell": f"onnxruntime does not run {cell.__name__.lower()} in integer"}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.a(x) @ (x > 0).float().softmax(1).transpose(1, 2).long().float(), None),
        (lambda m, x: F.linear(m.a(x), m.b(x)[0]), "its weight is computed"),
        (
            lambda m, x: torch.einsum("bij,bik,bil->bjk", m.a(x), m.b(x), x),
            "does not run einsum in integer",
        ),
        (lambda m, x: m.b(m.a(x).masked_fill(x > 1, -1e9)), "it holds masked entries"),
        (lambda m, x: m.a((x * 30.0).sin()) + m.b(x * 2.0).sin(), "it computes angles from positions"),
    ],
    ids=["a product", "a computed weight", "einsum of three", "a masked input", "angles"],
)
def test_all_that_has_products_and_stays_in_floating_point_is_told(function, reason):
    found = skipped(Fn(function, **layers("a", "b")), TOKENS)
    assert (not found) if reason is None else (len(found) == 1 and reason in next(iter(found.values())))


def test_a_layer_that_computes_angles_keeps_its_weights():
    network = mj.capture(nn.Sequential(nn.Linear(4, 8), Fn(lambda _, x: x.sin()), nn.Linear(8, 2)), TOKENS)
    mj.quantize(network)
    assert [layer.quantizer is not None for layer in network.layers] == [False, True]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_network_in_which_nothing_runs_in_integer_is_refused(name):
    network = mj.capture(nn.LSTM(4, 4, batch_first=True).eval(), TOKENS)
    nodes = len(network.graph.nodes)
    with pytest.raises(GraphError, match=f"network: has nothing that {name} runs in integer .*lstm") as caught:
        mj.quantize(network, target=name)
    assert "mj.quantize" not in str(caught.value)
    assert len(network.graph.nodes) == nodes


def test_replaced_operators_are_told():
    network = mj.capture(nn.Sequential(nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 4)), TOKENS)
    assert mj.quantize(network).replaced == {"silu": 1}
    assert list(network.quantizers) == ["input_1", "_0", "sigmoid_default", "mul_tensor", "_2"]
