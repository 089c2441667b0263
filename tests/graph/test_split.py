import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.errors import GraphError
from microjoule.execution.run import run
from microjoule.graph.edit import insert_quantizer, quantize_weight
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import set_submodule
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.split import by_branch, split_concatenations
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.records.facts import Skipped
from tests.capture.models import MODELS, Function, images


def network_of(function, *shape, **modules):
    torch.manual_seed(0)
    return capture(Function(function, **modules).eval(), images(2, *(shape or (3, 6, 6))))


def joined(*branches, name="conv"):
    """The function that gives a layer the concatenation of what branches give."""
    return lambda m, x: getattr(m, name)(torch.cat([getattr(m, branch)(x) for branch in branches], 1))


def two(layer, **more):
    """A layer that reads 4 and 2 channels of two branches."""
    return network_of(joined("a", "b"), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), conv=layer, **more)


def reasons(record):
    return {one.place: one.reason for one in record.skipped}


def assert_as_before(network, **settings):
    """Splitting changes no output by more than rounding, in both types; the record is the last of the history."""
    x = network.example.args[0]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        other = network.copy()
        other.to(dtype)
        before = run(other, (x.to(dtype),))
        record = split_concatenations(other, **settings)
        after = run(other, (x.to(dtype),))
        assert (after - before).abs().max() <= tolerance * before.abs().max()
        assert other.history[-1] is record
    return other, record


# By hand --------------------------------------------------------------------------------------------------------------


def test_shares_of_a_weight_by_hand():
    weight = torch.arange(6.0).reshape(2, 3, 1)
    first, second = by_branch(weight, [1, 2])
    assert first.flatten().tolist() == [0, 3]
    assert second.flatten().tolist() == [1, 2, 4, 5]


def test_shares_of_a_grouped_weight_by_hand():
    """Two groups of two inputs and three outputs."""
    weight = torch.arange(12.0).reshape(6, 2, 1)
    first, second = by_branch(weight, [2, 2], groups=2)
    assert torch.equal(first, weight[:3])
    assert torch.equal(second, weight[3:])
    assert by_branch(weight, [3, 1], groups=2) is None


def test_one_convolution_a_branch_and_the_bias_in_the_first():
    network = two(nn.Conv2d(6, 5, 3, stride=2, padding=1, dilation=1, padding_mode="zeros"))
    conv = network.layer("conv")
    weight, bias = conv.weight.clone(), conv.bias.clone()
    record = split_concatenations(network)
    assert record.added == {"conv": ("a", "b")}
    assert (record.joined, record.skipped) == ({}, ())
    names = [node.name for node in network.graph.nodes]
    assert names == ["args_0", "a", "b", "conv_branch_0", "conv_branch_1", "add_tensor", "output"]
    first, second = (network.module.get_submodule(f"conv.branch_{index}") for index in (0, 1))
    assert torch.equal(torch.cat([first.weight, second.weight], 1), weight)
    assert torch.equal(first.bias, bias)
    assert second.bias is None
    assert (second.stride, second.padding, second.in_channels) == ((2, 2), (1, 1), 2)
    assert "conv.weight" not in network.state_dict()


def test_a_depthwise_convolution_is_one_a_branch_and_a_concatenation():
    network, record = assert_as_before(two(nn.Conv2d(6, 6, 3, groups=6)))
    assert record.joined == {"conv": ("a", "b")}
    assert record.added == {}
    first, second = (network.module.get_submodule(f"conv.branch_{index}") for index in (0, 1))
    assert (first.groups, second.groups) == (4, 2)
    assert [node.name for node in network.graph.nodes][-2] == "cat_default"


def test_what_reads_the_parts_of_a_depthwise_convolution_is_split_too():
    modules = {"a": nn.Conv2d(3, 4, 1), "b": nn.Conv2d(3, 2, 1), "deep": nn.Conv2d(6, 6, 3, groups=6, bias=False)}
    network = network_of(lambda m, x: m.conv(joined("a", "b", name="deep")(m, x)), conv=nn.Conv2d(6, 5, 1), **modules)
    network, record = assert_as_before(network)
    assert record.joined == {"deep": ("a", "b")}
    assert record.added == {"conv": ("deep_branch_0", "deep_branch_1")}
    assert not any("cat" in node.name for node in network.graph.nodes)


# By law ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(
    channels=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    kernel=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    bias=st.booleans(),
    is_depthwise=st.booleans(),
    has_length=st.booleans(),
)
def test_the_outputs_are_equal_to_rounding(channels, kernel, stride, bias, is_depthwise, has_length):
    made, total, size = (nn.Conv1d, sum(channels), (6,)) if has_length else (nn.Conv2d, sum(channels), (6, 6))
    branches = {f"b{index}": made(3, count, 1) for index, count in enumerate(channels)}
    outs, groups = (total, total) if is_depthwise else (4, 1)
    conv = made(total, outs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias)
    _, record = assert_as_before(network_of(joined(*branches), 3, *size, conv=conv, **branches))
    assert len({**record.added, **record.joined}["conv"]) == len(channels)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 4, 3, padding="same", dilation=2),
        nn.Conv2d(6, 12, 1, groups=6),
        nn.Conv2d(6, 9, 3, groups=3),
    ],
    ids=repr,
)
def test_settings_of_a_layer_are_kept(layer):
    _, record = assert_as_before(two(layer))
    assert record.added or record.joined


def test_padding_other_than_by_zeros_is_kept():
    """Capture writes it as an operator; a network may have it all the same."""
    network = two(nn.Conv2d(6, 4, 3, padding=1))
    set_submodule(network.module, "conv", nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"))
    network, record = assert_as_before(network)
    assert record.added
    assert network.module.get_submodule("conv.branch_1").padding_mode == "reflect"


def test_batch_norms_and_activations_stay_after_it():
    norm = nn.BatchNorm2d(5)
    norm.running_mean.fill_(0.3)
    function = joined("a", "b")
    network = network_of(
        lambda m, x: m.norm(function(m, x)).relu(),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 2, 1),
        conv=nn.Conv2d(6, 5, 1),
        norm=norm,
    )
    network, _ = assert_as_before(network)
    assert [node.name for node in network.graph.nodes][-4:] == ["add_tensor", "norm", "relu", "output"]


def test_several_layers_may_read_one_concatenation():
    def function(m, x):
        whole = torch.cat([m.a(x), m.b(x)], 1)
        return m.one(whole) + m.other(whole)

    modules = {"one": nn.Conv2d(6, 5, 1), "other": nn.Conv2d(6, 5, 3, padding=1)}
    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), **modules)
    _, record = assert_as_before(network)
    assert set(record.added) == {"one", "other"}


def test_concatenations_in_concatenations_are_taken_apart():
    function = lambda m, x: m.conv(torch.cat([torch.cat([m.a(x), m.b(x)], 1), x], 1))  # noqa: E731
    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), conv=nn.Conv2d(9, 5, 1))
    network, record = assert_as_before(network)
    assert record.added == {"conv": ("a", "b", "args_0")}
    assert not any("cat" in node.name for node in network.graph.nodes)


def test_a_concatenation_within_that_others_read_is_one_branch():
    def function(m, x):
        inner = torch.cat([m.a(x), m.b(x)], 1)
        return m.conv(torch.cat([inner, x], 1)), inner.relu()

    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), conv=nn.Conv2d(9, 5, 1))
    assert split_concatenations(network).added == {"conv": ("cat", "args_0")}


def test_a_second_time_nothing_is_left_to_do():
    network = two(nn.Conv2d(6, 5, 1))
    split_concatenations(network)
    nodes = [node.name for node in network.graph.nodes]
    record = split_concatenations(network)
    assert (record.added, record.joined, record.skipped) == ({}, {}, ())
    assert [node.name for node in network.graph.nodes] == nodes


def test_statistics_of_outputs_go_with_their_channels_or_go():
    norms = {"bn": nn.BatchNorm2d(6)}
    norms["bn"].bias.data = torch.arange(6.0)
    for groups in (6, 1):
        function = joined("a", "b")
        layers = {"a": nn.Conv2d(3, 4, 1), "b": nn.Conv2d(3, 2, 1), "conv": nn.Conv2d(6, 6, 1, groups=groups)}
        network = network_of(lambda m, x, given=function: m.bn(given(m, x)), **layers, **norms)
        fold_batch_norms(network)
        assert "conv" in network.preactivations
        split_concatenations(network)
        assert "conv" not in network.preactivations
        if groups == 1:
            assert not network.preactivations
        else:
            means = [network.preactivations[f"conv.branch_{index}"].mean.tolist() for index in (0, 1)]
            assert means == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("training", [False, True])
def test_settings_of_training_are_kept(training):
    layer = nn.Conv2d(6, 5, 1)
    layer.weight.requires_grad_(False)
    network = two(layer)
    network.module.train(training)
    split_concatenations(network)
    first = network.module.get_submodule("conv.branch_0")
    assert all(module.training == training for module in network.module.modules())
    assert not first.weight.requires_grad
    assert first.bias.requires_grad


def test_a_split_network_is_saved_and_loaded(tmp_path):
    network = two(nn.Conv2d(6, 5, 1))
    split_concatenations(network)
    expected = run(network, network.example.args)
    network.save(tmp_path / "split.mj")
    again = load(tmp_path / "split.mj")
    assert torch.equal(run(again, network.example.args), expected)
    assert again.history == network.history


# What is not split ----------------------------------------------------------------------------------------------------


def scheme(*, signed=True):
    return Scheme(IntGrid(8, signed=signed))


def test_a_grouped_convolution_over_a_border_is_left():
    network, record = assert_as_before(two(nn.Conv2d(6, 4, 1, groups=2)))
    assert reasons(record) == {"conv": "it is grouped, and a group of 3 channels reads two branches"}
    assert "conv.weight" in network.state_dict()


def test_quantized_weights_are_left():
    network = two(nn.Conv2d(6, 5, 1))
    quantize_weight(network.layer("conv"), Quantizer(scheme()))
    assert "weights are quantized already" in reasons(split_concatenations(network))["conv"]


def test_a_quantized_concatenation_is_left():
    network = two(nn.Conv2d(6, 5, 1))
    insert_quantizer(network, network.node("cat"), Quantizer(scheme()))
    assert "a quantizer stands on the concatenation (cat)" in reasons(split_concatenations(network))["conv"]


def test_a_layer_with_another_parametrization_is_left():
    network = two(nn.Conv2d(6, 5, 1))
    parametrize.register_parametrization(network.layer("conv").owner, "bias", nn.Identity())
    assert "it is a ParametrizedConv2d" in reasons(split_concatenations(network))["conv"]


def test_a_concatenation_along_another_dimension_is_left():
    network = network_of(
        lambda m, x: m.conv(torch.cat([m.a(x), m.b(x)], 2)),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 4, 1),
        conv=nn.Conv2d(4, 5, 1),
    )
    record = split_concatenations(network)
    assert record.skipped == (Skipped("conv", "the concatenation (cat) is along dimension 2; channels are 1"),)


def test_the_same_value_twice_is_left():
    network = network_of(joined("a", "a"), a=nn.Conv2d(3, 4, 1), conv=nn.Conv2d(8, 5, 1))
    assert "twice" not in str(split_concatenations(network).skipped), "two calls give two values"
    network = network_of(lambda m, x: m.conv(torch.cat([x, x], 1)), conv=nn.Conv2d(6, 5, 1))
    assert reasons(split_concatenations(network)) == {"conv": "args_0 stands in the concatenation (cat) twice"}


def test_a_layer_that_is_used_twice_is_left():
    function = joined("a", "b")
    network = network_of(
        lambda m, x: function(m, x) + m.conv(m.c(x)),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 2, 1),
        c=nn.Conv2d(3, 6, 1),
        conv=nn.Conv2d(6, 5, 1),
    )
    assert reasons(split_concatenations(network)) == {"conv": "it is used more than once"}


def test_a_shared_bias_is_left_shared():
    network = network_of(
        lambda m, x: m.conv(torch.cat([m.a(x), m.b(x)], 1)),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 2, 1),
        conv=nn.Conv2d(6, 4, 1),
    )
    network.layer("conv").owner.bias = network.layer("a").owner.bias
    assert reasons(split_concatenations(network)) == {"conv": "it is used more than once"}


def test_a_concatenation_that_something_else_reads_is_left_with_all_its_readers():
    def function(m, x):
        whole = torch.cat([m.a(x), m.b(x)], 1)
        return m.conv(whole), whole.relu()

    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), conv=nn.Conv2d(6, 5, 1))
    assert reasons(split_concatenations(network)) == {"conv": "relu reads the concatenation (cat) as well"}


def test_a_reader_that_cannot_be_split_keeps_the_others():
    def function(m, x):
        whole = torch.cat([m.a(x), m.b(x)], 1)
        return m.conv(whole), m.grouped(whole)

    layers = {"conv": nn.Conv2d(6, 4, 1), "grouped": nn.Conv2d(6, 4, 1, groups=2)}
    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), **layers)
    found = reasons(split_concatenations(network))
    assert found["conv"] == "grouped reads the concatenation (cat) as well"
    assert found["grouped"].startswith("it is grouped")


def test_a_functional_layer_is_left():
    def function(m, x):
        whole = torch.cat([m.a(x), m.b(x)], 1)
        return torch.nn.functional.conv2d(whole, m.held.odd)

    held = nn.Module()
    held.odd = nn.Parameter(torch.randn(5, 6, 1, 1))
    network = network_of(function, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 2, 1), held=held)
    assert "it is a function" in reasons(split_concatenations(network))["held.odd"]


def test_a_part_without_channels_is_left():
    network = network_of(lambda m, x: m.conv(torch.cat([m.a(x), x, x[:, :0]], 1)), a=conv(3, 4), conv=conv(7, 5))
    assert "has no channels" in reasons(split_concatenations(network))["conv"]


def test_a_concatenation_of_one_value_is_left():
    network = network_of(lambda m, x: m.conv(torch.cat([m.a(x), x[:, :0]], 1)), a=conv(3, 6), conv=conv(6, 5))
    cat = network.node("cat")
    cat.args = (cat.args[0][:1], 1)
    assert reasons(split_concatenations(network)) == {"conv": "the concatenation (cat) is of one value alone"}


def test_values_of_several_types_are_left():
    network = network_of(lambda m, x: m.conv(torch.cat([m.a(x), (x > 0).int()], 1)), a=conv(3, 4), conv=conv(7, 5))
    assert "several types" in reasons(split_concatenations(network))["conv"]


def conv(ins, outs):
    return nn.Conv2d(ins, outs, 1)


# Chosen paths ---------------------------------------------------------------------------------------------------------


def test_paths_choose_layers():
    def function(m, x):
        first = m.one(torch.cat([m.a(x), x], 1))
        return m.two(torch.cat([first, x], 1))

    network = network_of(function, a=conv(3, 4), one=conv(7, 4), two=conv(7, 5))
    record = split_concatenations(network, paths=["two", "a"])
    assert set(record.added) == {"two"}
    assert reasons(record) == {"a": "it reads no concatenation"}
    assert "one.weight" in network.state_dict()


def test_a_reader_that_was_not_asked_for_keeps_the_others():
    def function(m, x):
        whole = torch.cat([m.a(x), x], 1)
        return m.one(whole) + m.two(whole)

    network = network_of(function, a=conv(3, 4), one=conv(7, 5), two=conv(7, 5))
    assert reasons(split_concatenations(network, paths=["one"])) == {"one": "two reads the concatenation (cat) as well"}


def test_an_unknown_path_is_refused_and_changes_nothing():
    network = two(nn.Conv2d(6, 5, 1))
    with pytest.raises(GraphError, match=r"convv: is no layer of this network\n  nearest: conv"):
        split_concatenations(network, paths=["convv"])
    assert "conv.weight" in network.state_dict()
    assert len(network.history) == 1


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_every_model_computes_the_same_after(name):
    module, args = MODELS[name]
    network = capture(module, args)
    expected = run(network, args)
    split_concatenations(network)
    torch.testing.assert_close(run(network, args), expected, rtol=1e-5, atol=1e-6)
