import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.costs.count import costs
from microjoule.errors import GraphError, SettingError
from microjoule.graph.edit import insert_quantizer
from microjoule.graph.network import Example, Network
from microjoule.graph.ops import aten
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.scheduling.from_graph import computation_of
from microjoule.scheduling.order import peak_bytes
from tests.capture.models import MODELS, Function
from tests.scheduling.branching import GIVEN, Branching, X


def computation(function, x=X, **modules):
    """Of a function of a module with a convolution, and of an input."""
    return computation_of(capture(Function(function, conv=nn.Conv2d(4, 4, 1), **modules), x))


def by_name(found):
    return {operator.name: operator for operator in found.operators}


def names(found, values):
    return [found.values[index].name for index in values]


# By hand --------------------------------------------------------------------------------------------------------------


def test_a_networks_values_and_operators():
    found = computation_of(capture(Branching(), X))
    assert [(value.name, value.size_bytes) for value in found.values] == [
        ("x", 1024),
        *zip(GIVEN, (4096, 2048, 512, 512, 2048, 512), strict=True),
    ]
    assert [value.name for value in found.values if value.is_input] == ["x"]
    assert [value.name for value in found.values if value.is_output] == ["last"]
    assert [operator.name for operator in found.operators] == GIVEN
    assert names(found, by_name(found)["cat"].inputs) == ["shrink_a", "shrink_b", "x"]
    assert names(found, by_name(found)["cat"].outputs) == ["cat"]
    assert peak_bytes(found) == 1024 + 4096 + 2048 + 512


def test_a_batch_is_counted_as_one_sample():
    assert computation_of(capture(Branching(), X.repeat(3, 1, 1, 1))) == computation_of(capture(Branching(), X))


def test_operators_are_told_apart_as_far_as_rewritings_must_know():
    grouped = nn.Conv2d(4, 4, 1, groups=4)
    found = computation(lambda m, x: torch.cat([m.grouped(x), m.conv(x)], 1) + 1, grouped=grouped)
    assert [operator.kind for operator in found.operators] == ["depthwise", "conv", "concat", "add"]


def test_an_activation_is_in_place_and_a_reshape_is_a_view():
    found = computation(lambda m, x: m.conv(x).relu().flatten(1))
    relu, flat = found.operators[1:]
    assert (names(found, [relu.inplace]), relu.is_view) == (["conv"], False)
    assert (flat.inplace, flat.is_view) == (None, True)


def test_an_activation_of_the_callers_input_is_not_in_place():
    assert computation(lambda m, x: x.relu() + 1).operators[0].inplace is None


# Both ways to count ---------------------------------------------------------------------------------------------------


def quantized():
    network = capture(nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 2, 1)), X)
    insert_quantizer(network, network.node("_0"), Quantizer(Scheme(IntGrid(8, signed=False))))
    return network


def test_a_quantizer_makes_a_value_narrow_as_deployed():
    found = computation_of(quantized())
    assert found.values[1].size_bytes == 8 * 64
    assert by_name(found)["quantizers__0"].is_view


def test_a_quantizer_computes_in_place_in_pytorch():
    network = quantized()
    found = computation_of(network, simulated=True)
    assert by_name(found)["quantizers__0"].is_view, "without a range it passes values on"
    network.quantizers["_0"].set_range(torch.tensor(0.0), torch.tensor(1.0))
    found = computation_of(network, simulated=True)
    assert found.values[1].size_bytes == 4 * 8 * 64
    quantizer = by_name(found)["quantizers__0"]
    assert (quantizer.is_view, names(found, [quantizer.inplace])) == (False, ["_0"])


def test_a_reshape_that_copies_in_pytorch_needs_memory_there():
    function = capture(Function(lambda m, x: x.relu().permute(0, 2, 3, 1).flatten(1)), X)
    views = {one.name: one.is_view for one in computation_of(function).operators}
    assert views == {"relu": False, "permute": True, "flatten": True}
    simulated = computation_of(function, simulated=True)
    assert {one.name: one.is_view for one in simulated.operators} == {**views, "flatten": False}
    assert simulated.operators[-1].inplace is None


def test_what_grows_is_not_in_place():
    found = computation_of(capture(Function(lambda m, x: (x > 0).sigmoid() + x), X), simulated=True)
    wide, narrow = by_name(found)["sigmoid"], by_name(found)["gt"]
    assert wide.inplace is None
    assert [found.values[one.outputs[0]].size_bytes for one in (narrow, wide)] == [256, 1024]


# Several outputs, sizes, random numbers -------------------------------------------------------------------------------


def test_an_operator_with_several_outputs_writes_one_value_that_its_parts_are_views_of():
    found = computation_of(capture(*MODELS["lstm"]))
    lstm = by_name(found)["lstm"]
    assert found.values[lstm.outputs[0]].size_bytes == 4 * (7 * 5 + 5 + 5)
    parts = [one for one in found.operators if lstm.outputs[0] in one.inputs]
    assert parts
    assert all(part.is_view for part in parts)


def test_a_size_is_no_operator_and_keeps_nothing():
    found = computation(lambda m, x: m.conv(m.conv(x)).reshape(x.shape[0], -1))
    assert not any("size" in operator.name for operator in found.operators)
    assert names(found, found.operators[-1].inputs) == ["conv_call2"]


def with_a_size(function):
    """A network of two branches from x, in which a size of one's value is read by the other."""
    network = capture(Function(lambda m, x: m.a(x).flatten(1).sum(1) + m.b(x).sum((1, 2, 3)), a=conv(), b=conv()), X)
    function(network)
    network.recompile()
    return network


def conv():
    return nn.Conv2d(4, 4, 1)


def test_a_size_that_is_read_of_another_value_has_to_be_known_before():
    def read_size(network):
        a, b = network.node("a"), network.node("b")
        with network.graph.inserting_after(b):
            size = network.graph.call_function(aten.sym_size.int, (a, 1))
        with network.graph.inserting_after(size):
            scaled = network.graph.call_function(aten.mul.Tensor, (b, size))
        b.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)

    found = computation_of(with_a_size(read_size))
    assert names(found, by_name(found)["mul_tensor"].inputs) == ["b", "a"]


def test_a_size_of_something_that_was_needed_anyhow_keeps_nothing():
    def read_size(network):
        summed, a = network.node("sum_1"), network.node("a")
        with network.graph.inserting_after(summed):
            size = network.graph.call_function(aten.sym_size.int, (a, 1))
        with network.graph.inserting_after(size):
            scaled = network.graph.call_function(aten.mul.Tensor, (summed, size))
        summed.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)

    found = computation_of(with_a_size(read_size))
    assert names(found, by_name(found)["mul_tensor"].inputs) == ["sum_1"]


def test_random_numbers_are_drawn_in_their_order():
    network = capture(Function(lambda m, x: m.a(x) + m.b(x), a=conv(), b=conv()), X)
    for name in ("a", "b"):
        node = network.node(name)
        with network.graph.inserting_after(node):
            drawn = network.graph.call_function(aten.rand_like.default, (node,))
        node.replace_all_uses_with(drawn, delete_user_cb=lambda user, drawn=drawn: user is not drawn)
    network.recompile()
    found = computation_of(network)
    first, second = (one for one in found.operators if "rand" in one.name)
    assert names(found, second.inputs) == ["b", *names(found, first.outputs)]


def test_an_operator_that_changes_what_it_reads_is_refused():
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.call_function(aten.add_.Tensor, (x, 1))
    graph.output((x,))
    network = Network(torch.fx.GraphModule(nn.Module(), graph), Example((X,)))
    with pytest.raises(GraphError, match=r"add_.*may change what it reads"):
        computation_of(network)


# As costs counts ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_the_peak_is_the_one_that_costs_counts(name):
    network = capture(*MODELS[name])
    assert peak_bytes(computation_of(network)) == costs(network).peak_bytes


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.silu(m.conv(x)).sigmoid() + x,
        lambda m, x: m.conv(x) + m.conv(x).relu().flatten(2).unsqueeze(3).reshape(x.shape),
        lambda m, x: [part.relu() for part in torch.split(m.conv(x), 2, dim=1)],
    ],
    ids=["two activations", "views", "split"],
)
def test_the_peak_of_a_function_is_the_one_that_costs_counts(function):
    network = capture(Function(function, conv=conv()), X)
    assert peak_bytes(computation_of(network)) == costs(network).peak_bytes


# Sums that are accumulated --------------------------------------------------------------------------------------------


def accumulated(function, *names):
    """As `computation`, with convolutions of these names that accumulate."""
    modules = {name: nn.Conv2d(4, 4, 1) for name in names}
    return computation_of(capture(Function(function, **modules), X), accumulates=True)


def then(value, function):
    return function(value)


def reads(found):
    return {one.name: names(found, one.inputs) for one in found.operators}


def writes(found):
    return {one.name: names(found, one.outputs) for one in found.operators}


def test_convolutions_that_are_added_write_one_value():
    found = accumulated(lambda m, x: (m.a(x) + m.b(x) + m.c(x)).relu(), "a", "b", "c")
    assert [(value.name, value.size_bytes) for value in found.values] == [
        ("args_0", 1024),
        ("add_1", 1024),
        ("relu", 1024),
    ]
    assert writes(found) == {"a": ["add_1"], "b": ["add_1"], "c": ["add_1"], "relu": ["relu"]}
    assert reads(found) == {"a": ["args_0"], "b": ["args_0"], "c": ["args_0"], "relu": ["add_1"]}
    assert peak_bytes(found) == 2 * 1024


def test_without_the_option_each_is_a_value_of_its_own():
    found = computation(lambda m, x: m.conv(x) + m.other(x), other=nn.Conv2d(4, 4, 1))
    assert [one.name for one in found.operators] == ["conv", "other", "add"]
    assert peak_bytes(found) == 3 * 1024


def test_a_convolution_that_is_added_to_another_value_runs_when_that_is_there():
    found = accumulated(lambda m, x: then(m.b(x), lambda b: (m.a(x) * 2) + b), "a", "b")
    assert [one.name for one in found.operators] == ["a", "mul", "b"]
    last = found.operators[-1]
    assert (reads(found)["b"], names(found, last.outputs)) == (["args_0", "mul"], ["add"])
    assert names(found, [last.inplace]) == ["mul"]
    assert last.kind == "conv"


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x + m.a(x),
        lambda m, x: x + m.a(x * 2),
        lambda m, x: then(x * 2, lambda y: y + m.a(y)),
        lambda m, x: then(x * 2, lambda y: y + m.a(y.flip(3))),
        lambda m, x: then(x * 2, lambda y: y + m.a(y.transpose(2, 3))),
        lambda m, x: (x * 2).transpose(2, 3) + m.a(x),
    ],
    ids=["the caller's, which it reads", "the caller's", "what it reads", "moved", "a view of what it reads", "a view"],
)
def test_a_sum_lies_in_place_of_nothing_that_must_stay(function):
    found = accumulated(function, "a")
    (conv,) = (one for one in found.operators if one.kind == "conv")
    assert names(found, conv.outputs) == ["add"]
    expected = [] if conv.inplace is None else names(found, [conv.inplace])
    assert expected == (["mul"] if any("flip" in one.name for one in found.operators) else [])


def test_a_sum_on_a_grid_of_integers_is_not_accumulated():
    network = capture(Function(lambda m, x: m.a(x) + m.b(x), a=conv(), b=conv()), X)
    insert_quantizer(network, network.node("add"), Quantizer(Scheme(IntGrid(8))))
    found = computation_of(network, accumulates=True)
    assert [one.name for one in found.operators] == ["a", "b", "add", "quantizers_add"]


def test_a_sum_lies_in_place_of_nothing_that_is_narrower():
    network = capture(Function(lambda m, x: (x * 2).flip(3) + m.a(x), a=conv()), X)
    insert_quantizer(network, network.node("mul"), Quantizer(Scheme(IntGrid(8))))
    found = computation_of(network, accumulates=True)
    assert [value.size_bytes for value in found.values if value.name in ("flip", "add")] == [256, 1024]
    assert by_name(found)["a"].inplace is None


def test_a_sum_with_a_stored_tensor_is_not_accumulated():
    class Stored(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.shift = conv(), nn.Parameter(torch.ones(1, 4, 8, 8))

        def forward(self, x):
            return self.a(x) + self.shift

    found = computation_of(capture(Stored(), X), accumulates=True)
    assert [one.name for one in found.operators] == ["a", "add"]


def test_pytorch_does_not_accumulate():
    network = capture(Branching(), X)
    with pytest.raises(SettingError, match=r"accumulates: is asked for together with simulated=True"):
        computation_of(network, simulated=True, accumulates=True)
