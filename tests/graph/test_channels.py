import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.channels import ChannelGroup, Member, channel_groups, parameters_of
from microjoule.graph.fold import fold_batch_norms
from microjoule.quantization.simulate import quantize
from tests.capture.models import Function
from tests.graph.channel_networks import IMAGE, NETWORKS, conv

OUTPUT = "its channels reach an output of the network"


def found(module, *shape):
    return channel_groups(capture(module.eval(), (torch.randn(2, *(shape or IMAGE)),)))


GROUPS = {
    "plain": {"0": (6, "0", "3"), "3": (8, "3", "6")},
    "flattened": {"0": (4, "0", "4"), "4": (7, "4", "5")},
    "residual": {
        "stem": (4, "stem b", "a c project"),
        "a": (6, "a", "b"),
        "c": (5, "c", "d"),
        "d": (8, "d project", "head"),
    },
    "dense": {"a": (4, "a", "b c d"), "b": (5, "b", "c d"), "c": (6, "c", "d")},
    "grouped": {"0": (2, "0", "2"), "2": (3, "2", "4"), "4": (6, "4", "5")},
    "depthwise": {"0": (6, "0 2 4", "2 4 5")},
    "gate": {"a": (8, "a up", "down b"), "down": (4, "down", "up")},
    "spatial_gate": {"a": (6, "a", "c")},
    "shuffled": {"stem": (2, "stem a b", "head"), "stem#2": (2, "stem a", "b"), "stem#3": (4, "stem", "a")},
    "shuffled_groups": {"0": (4, "0", "1"), "1": (6, "1", "3")},
    "split": {"a": (2, "a", "d"), "a#2": (3, "a", "e f"), "a#3": (2, "a", "d f"), "a#4": (2, "a", "d")},
    "padded": {"a": (4, "a b", "b c"), "b": (3, "b", "c")},
    "u_shaped": {"down": (4, "down", "low out"), "low": (6, "low", "up"), "up": (5, "up", "out")},
    "transposed": {"0": (2, "0", "1"), "1": (3, "1", "3"), "3": (6, "3 4", "4 5")},
    "shared": {"stem": (6, "stem twice", "twice head")},
    "scaled": {"a": (5, "a", "b")},
    "normed": {"0": (3, "0", "3"), "3": (4, "3", "5")},
    "resized": {"0": (2, "0", "3"), "3": (6, "3", "4")},
    "radix": {"a": (4, "a b", "b c")},
    "attention": {"qkv": (4, "qkv", "proj"), "up": (16, "up", "down")},
    "written_attention": {"q": (4, "q k v", "proj")},
    "one_dimensional": {"0": (6, "0", "3"), "3": (4, "3", "5")},
}
"""By hand: for each group its units, makers and readers."""


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_by_hand(name):
    build, shape = NETWORKS[name]
    groups = found(build(), *shape).groups
    assert {g.name: (g.size, " ".join(g.makers), " ".join(g.readers)) for g in groups} == GROUPS[name]


def test_members_say_which_channels_a_unit_is():
    (first, second) = found(NETWORKS["flattened"][0]()).groups
    assert first == ChannelGroup(
        "0",
        4,
        (
            Member("0", "out", ((0,), (1,), (2,), (3,))),
            Member("4", "in", ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15))),
        ),
    )
    assert second.member("5", "in").channels == tuple((i,) for i in range(7))
    with pytest.raises(KeyError):
        second.member("5", "out")


def test_norms_slopes_and_constants_are_members():
    sides = {m.path: m.side for g in found(NETWORKS["plain"][0]()).groups for m in g.members}
    assert (sides["1"], sides["4"]) == ("norm", "slope")
    (group,) = found(NETWORKS["scaled"][0]()).groups
    assert [m.path for m in group.members if m.side == "constant"] == ["scale", "cap"]


def test_a_head_is_its_rows_of_queries_keys_and_values():
    build, shape = NETWORKS["attention"]
    (heads, _) = found(build(), *shape).groups
    assert heads.member("qkv", "out").channels[1] == (2, 3, 10, 11, 18, 19)
    assert heads.member("proj", "in").channels[1] == (2, 3)


def test_a_concatenation_is_read_at_different_columns():
    groups = found(NETWORKS["dense"][0]())
    assert groups.group("b").member("c", "in").channels[0] == (4,)
    assert groups.group("c").member("d", "in").channels[0] == (9,)


def test_a_grouped_convolution_keeps_its_groups():
    groups = found(NETWORKS["grouped"][0]())
    assert groups.group("0").member("2", "in").channels == ((0, 2, 4, 6), (1, 3, 5, 7))
    assert groups.group("2").member("2", "out").channels[0] == (0, 3, 6, 9)


def test_a_weight_that_two_modules_hold_must_stay():
    a, b = conv(4, 4, bias=False), conv(4, 4, bias=False)
    b.weight = a.weight
    groups = found(nn.Sequential(conv(3, 4), a, nn.ReLU(), b, conv(4, 2)))
    assert groups.groups == ()
    assert [(one.place, one.reason) for one in groups.fixed] == [
        ("0", "the weights of 3 are another's as well"),
        ("3", "the weights of 3 are another's as well"),
        ("4", OUTPUT),
    ]


def test_a_weight_that_has_two_biases_must_stay():
    a, b = conv(4, 4), conv(4, 4)
    b.weight = a.weight
    groups = found(nn.Sequential(conv(3, 4), a, nn.ReLU(), b, conv(4, 2)))
    assert groups.groups == ()
    assert {one.place: one.reason for one in groups.fixed} == {
        "0": "the weights of _1 are computed, or another's as well",
        "3": "the weights of 3 are another's as well",
        "4": OUTPUT,
    }


def test_some_channels_of_a_layer_may_stay():
    def run(m, x):
        y = m.a(x)
        return y[:, :2], m.b(y)

    groups = found(Function(run, a=conv(3, 5), b=conv(5, 2)))
    assert [(one.place, one.reason) for one in groups.fixed] == [("a", f"2 of 5 channels: {OUTPUT}"), ("b", OUTPUT)]
    assert groups.group("a").member("a", "out").channels == ((2,), (3,), (4,))


def test_quantized_layers_must_stay():
    network = capture(NETWORKS["plain"][0]().eval(), (torch.randn(2, *IMAGE),))
    fold_batch_norms(network)
    quantize(network)
    groups = channel_groups(network)
    assert groups.groups == ()
    assert groups.fixed[0].reason == "the weights of 0 are quantized already: prune before that"


def test_what_is_alone_stays():
    groups = found(nn.Sequential(conv(3, 1), nn.ReLU(), conv(1, 2)))
    assert groups.groups == ()
    assert groups.fixed[0].reason == "its channels go all together, so that nothing would be left"


def test_parameters_of_a_group_by_hand():
    network = capture(NETWORKS["depthwise"][0]().eval(), (torch.randn(2, *IMAGE),))
    (group,) = channel_groups(network).groups
    # rows of 3 -> 6, 1x1; 6 and 12 kernels of 9; a norm; columns of 12 -> 3, 1x1
    assert parameters_of(network, group) == (6 * 3 + 6) + (6 * 9 + 6) + 2 * 6 + (12 * 9 + 12) + 3 * 12


def test_finding_groups_changes_nothing():
    network = capture(NETWORKS["residual"][0]().eval(), (torch.randn(2, *IMAGE),))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    code = network.module.code
    channel_groups(network)
    assert network.module.code == code
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [type(record).__name__ for record in network.history] == ["Captured"]
