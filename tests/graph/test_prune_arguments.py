import pytest
import torch
import torch.nn.functional as F

from microjoule.capture.export import capture
from microjoule.graph.channels import groups_of
from microjoule.graph.label_trace import Trace
from microjoule.graph.ops import aten
from microjoule.graph.prune_arguments import Left, smaller_arguments
from tests.capture.models import Function
from tests.graph.channel_networks import IMAGE, conv


def changed(function, removed, ins=6):
    """The operators that get other arguments when channels of a convolution with 6 of them go."""
    module = Function(lambda m, x: m.b(function(m.a(x))), a=conv(3, 6), b=conv(ins, 2))
    network = capture(module.eval(), (torch.randn(2, *IMAGE),))
    trace = Trace(network)
    groups, classes = groups_of(trace)
    numbers = [
        classes[group.name][unit]
        for group in groups.groups
        for unit, channels in enumerate(group.member("a", "out").channels)
        if set(channels) <= set(removed)
    ]
    left = Left(trace, numbers)
    made = [(node, smaller_arguments(left, node)) for node in network.graph.nodes]
    return [found for _, found in made if found is not None]


def without_input(found):
    return [(target, {k: v for k, v in args.items() if k != "self"}) for target, args in found]


NUMBERS = {
    "slice": (lambda x: x[:, 1:4], 3, [1, 4], aten.slice.Tensor, {"dim": 1, "start": 1, "end": 3, "step": 1}),
    "to the end": (lambda x: x[:, -3:], 3, [0, 4], aten.slice.Tensor, {"dim": 1, "start": 2, "end": 4, "step": 1}),
    "narrow": (lambda x: x.narrow(1, 2, 4), 4, [0, 3], aten.narrow.default, {"dim": 1, "start": 1, "length": 3}),
    "split": (
        lambda x: torch.cat(x.split([1, 3, 2], 1)[::-1], 1),
        6,
        [2, 5],
        aten.split_with_sizes.default,
        {"split_sizes": [1, 2, 1], "dim": 1},
    ),
    "chunk": (
        lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
        6,
        [2],
        aten.split_with_sizes.default,
        {"split_sizes": [2, 3], "dim": 1},
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_by_hand(name):
    function, ins, removed, target, args = NUMBERS[name]
    (found,) = without_input(changed(function, removed, ins))
    assert found == (target, args)


def test_sizes_by_hand():
    found = changed(lambda x: x.reshape(-1, 6, 4, 16).transpose(2, 3).reshape(-1, 6, 8, 8), [0])
    assert [args["shape"] for _, args in found] == [[-1, 5, 4, 16], [-1, 5, 8, 8]]


def test_an_expanded_size_by_hand():
    ((target, args),) = changed(lambda x: x.mean((2, 3), keepdim=True).expand(-1, 6, 8, 8), [3])
    assert (target, list(args["size"])) == (aten.expand.default, [-1, 5, 8, 8])


def test_padding_channels_by_hand():
    def function(x):
        return F.pad(x[:, :4], (0, 0, 0, 0, 2, 0)) + x

    found = dict(changed(function, [1, 3, 5]))
    assert found[aten.pad.default]["pad"] == [0, 0, 0, 0, 1, 0]
    assert found[aten.slice.Tensor]["end"] == 2


def test_operators_on_other_axes_stay_as_they_are():
    assert changed(lambda x: torch.cat(x[:, :, 1:].split([3, 4], 2), 2), [0]) == []


def test_nothing_changes_where_nothing_goes():
    assert changed(lambda x: x[:, 1:4].reshape(-1, 3, 4, 16).unflatten(3, (2, 8)).flatten(2, 3), [], 3) == []
