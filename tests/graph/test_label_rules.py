"""Each rule by what `Trace` makes of one operator between two layers; whole networks are in `test_channels`."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.channels import channel_groups
from microjoule.graph.label_rules import POINTWISE, elementwise, rule_for
from microjoule.graph.ops import FUNCTION_KINDS, aten
from tests.capture.models import Function
from tests.graph.channel_networks import IMAGE, conv


def between(function, *, outs=4, ins=4):
    """The groups of a convolution, a function and a convolution."""
    module = Function(lambda m, x: m.b(function(m.a(x))), a=conv(3, outs), b=conv(ins, 2))
    return channel_groups(capture(module.eval(), (torch.randn(2, *IMAGE),)))


def units(found):
    return [(group.size, group.members[-1].channels) for group in found.groups]


ALONE = ((0,), (1,), (2,), (3,))
FREE = {
    "gelu": F.gelu,
    "log": lambda x: torch.log(x.abs() + 1),
    "maximum": lambda x: torch.maximum(x, x.neg()),
    "max pool": lambda x: F.max_pool2d(x, 2),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "softmax over places": lambda x: x.softmax(-1),
    "there and back": lambda x: x.permute(0, 2, 3, 1).reshape(-1, 64, 4).transpose(1, 2).unflatten(2, (8, 8)),
    "slice of places": lambda x: x[:, :, 1:, ::2],
    "index of places": lambda x: x.index_select(2, torch.tensor([0, 2])),
    "double": lambda x: x.double().float(),
}


@pytest.mark.parametrize("name", FREE)
def test_channels_stay_free_and_in_place(name):
    assert units(between(FREE[name])) == [(4, ALONE)]


MOVED = {
    "flip": (lambda x: x.flip(1), 4, ALONE[::-1]),
    "roll by slices": (lambda x: torch.cat([x[:, 1:], x[:, :1]], 1), 4, ((0,), (1,), (2,))),
    "twice": (lambda x: torch.cat([x, x], 1), 8, ((0, 4), (1, 5), (2, 6), (3, 7))),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), 8, ((0, 4), (1, 5), (2, 6), (3, 7))),
    "stack": (lambda x: torch.stack([x, x], 2).flatten(1, 2), 8, ((0, 1), (2, 3), (4, 5), (6, 7))),
    "pixels": (lambda x: F.pixel_shuffle(x, 2), 1, None),
    "halves": (lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1], 2, ((0,), (1,))),
    "unbound pairs": (lambda x: torch.add(*x.unflatten(1, (2, 2)).unbind(1)), 2, ((0,), (1,))),
    "zeros after": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), 7, ((1,), (2,), (3,), (4,))),
}


@pytest.mark.parametrize("name", MOVED)
def test_channels_are_followed_where_they_go(name):
    function, ins, channels = MOVED[name]
    found = between(function, ins=ins)
    assert [group.members[-1].channels for group in found.groups] == ([] if channels is None else [channels])


FIXED = {
    "softmax over channels": (lambda x: x.softmax(1), 4, "softmax makes shares of its channels"),
    "mean of channels": (lambda x: x.mean(1, keepdim=True), 1, "mean adds up its channels"),
    "cumulative": (lambda x: x.cumsum(1), 4, "aten.cumsum.default (cumsum) is not known to leave channels apart"),
    "each second": (lambda x: x[:, ::2], 2, "slice_1 takes single channels"),
    "chosen": (lambda x: x.index_select(1, torch.tensor([3, 0])), 2, "index_select takes single channels"),
    "one": (lambda x: x.select(1, 0).unsqueeze(1), 1, "select takes single channels"),
    "cropped": (lambda x: F.pad(x, (0, 0, 0, 0, -1, 0)), 3, "pad pads or crops its channels"),
    "squeezed": (lambda x: x.squeeze(), 4, "squeeze drops any axis that becomes 1"),
    "across": (lambda x: F.max_pool2d(x.transpose(1, 3), 3, 1, 1).transpose(1, 3), 4, "max_pool2d works across"),
    "turned": (lambda x: x[:, :, :4, :4] + x[:, :, :4, :4].transpose(1, 2), 4, "along another axis in add"),
    "covariance": (lambda x: (x.flatten(2) @ x.flatten(2).transpose(1, 2))[:, :, None], 4, "in matmul"),
    "product": (lambda x: x.permute(0, 2, 3, 1) @ x.permute(0, 2, 1, 3), 8, "matmul multiplies its channels"),
}


@pytest.mark.parametrize("name", FIXED)
def test_channels_that_an_operator_needs_all_must_stay(name):
    function, ins, reason = FIXED[name]
    found = between(function, ins=ins)
    assert found.groups == ()
    assert reason in next(one.reason for one in found.fixed if one.place == "a")


def attend(**settings):
    def run(m, x):
        q, k, v = (getattr(m, name)(x).unflatten(2, (settings["heads"], -1)).transpose(1, 2) for name in "qkv")
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=settings.get("gqa", False))
        return m.out(y.transpose(1, 2).flatten(2))

    module = Function(run, **{name: nn.Linear(6, 12) for name in "qkv"}, out=nn.Linear(12, 3))
    return channel_groups(capture(module.eval(), (torch.randn(2, 5, 6),)))


def test_heads_go_whole_with_their_queries_keys_and_values():
    (group,) = attend(heads=3).groups
    assert (group.size, group.makers) == (3, ("q", "k", "v"))
    assert group.member("out", "in").channels[2] == (8, 9, 10, 11)


def test_of_a_single_head_the_values_are_free():
    found = attend(heads=1)
    assert [(group.name, group.size) for group in found.groups] == [("v", 12)]
    assert {one.place for one in found.fixed} == {"q", "k", "out"}
    assert "multiplies its channels with others and adds them up" in found.fixed[0].reason


def test_keys_shared_among_queries_must_stay():
    found = attend(heads=3, gqa=True)
    assert found.groups == ()
    assert "shares keys among queries" in found.fixed[0].reason


def test_every_pointwise_kind_is_on_the_list_of_operators():
    assert set(FUNCTION_KINDS.values()) >= POINTWISE


def test_operators_that_torch_calls_pointwise_need_no_line():
    graph = torch.fx.Graph()
    assert rule_for(graph.call_function(aten.sin.default), None) is elementwise
    assert rule_for(graph.call_function(aten.cumsum.default), None) is None
