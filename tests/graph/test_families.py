import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.families import Family, channel_axis, explore, find_families, is_capped
from microjoule.graph.ops import Activation
from microjoule.graph.shapes import shapes
from tests.capture.models import Function, images


def conv(ins=4, outs=4, kernel=3, **settings):
    return nn.Conv2d(ins, outs, kernel, **settings)


def families(module, *shape):
    return find_families(capture(module.eval(), images(2, *shape)))


def reason(module, *shape):
    found, skipped = families(module, *shape)
    assert found == []
    return skipped[0].reason


@pytest.mark.parametrize(
    "between",
    [
        [nn.ReLU()],
        [nn.ReLU6()],
        [nn.PReLU(4)],
        [nn.LeakyReLU()],
        [nn.MaxPool2d(2), nn.ReLU(), nn.Dropout()],
        [nn.AvgPool2d(2), nn.Upsample(scale_factor=2)],
        [nn.ZeroPad2d(1), nn.Hardtanh(-1, 1)],
        [],
    ],
    ids=repr,
)
def test_homogeneous_functions_and_clamps_may_stand_between(between):
    found, skipped = families(nn.Sequential(conv(), *between, conv()), 4, 9, 9)
    assert len(found) == 1
    assert found[0].repeats == [1]
    last = str(1 + len(between))
    assert str(found[0]) == f"0 -> {last}"
    assert [(one.place, one.reason) for one in skipped] == [(last, "it is an output of the network")]


def test_a_family_names_all_readers_and_clamps():
    def two_readers(m, x):
        y = m.a(x)
        return m.b(F.relu(y)) + m.c(F.relu6(y))

    found, _ = families(Function(two_readers, a=conv(), b=conv(), c=conv()), 4, 9, 9)
    assert str(found[0]) == "a -> b, c"
    assert len(found[0].activations) == 2


def test_flattening_repeats_each_channel():
    module = nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 5))
    found, _ = families(module, 4, 5, 5)
    assert found[0].repeats == [9]


def test_pooling_to_one_value_and_flattening_repeats_nothing():
    module = nn.Sequential(conv(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    found, _ = families(module, 4, 5, 5)
    assert found[0].repeats == [1]


def test_the_mean_over_space_passes_channels():
    module = Function(lambda m, x: m.b(m.a(x).relu().mean((2, 3))), a=conv(), b=nn.Linear(4, 5))
    found, _ = families(module, 4, 5, 5)
    assert str(found[0]) == "a -> b"


def test_linear_layers_of_tokens_are_a_family():
    found, _ = families(nn.Sequential(nn.Linear(4, 6), nn.ReLU6(), nn.Linear(6, 5)), 3, 4)
    assert str(found[0]) == "0 -> 2"


def add(m, x):
    y = m.a(x)
    return m.b(y) + y


def twice(m, x):
    return m.b(m.a(m.a(x)))


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Sequential(conv(), nn.Sigmoid(), conv()), (4, 7, 7), "sigmoid (_1) reads it"),
        (Function(add, a=conv(), b=conv(padding=1)), (4, 7, 7), "add (add) reads it"),
        (Function(twice, a=conv(), b=conv()), (4, 9, 9), "it is used more than once"),
        (Function(lambda m, x: m.b(m.b(m.a(x))), a=conv(), b=conv()), (4, 9, 9), "b, which reads it, is used more"),
        (nn.Sequential(nn.Conv1d(4, 4, 3), nn.Linear(5, 4)), (4, 7), "1 reads another dimension than the channels"),
        (nn.Sequential(nn.Linear(7, 4), nn.Conv1d(4, 4, 3)), (4, 7), "1 reads another dimension than the channels"),
        (nn.Sequential(nn.Linear(4, 2), nn.Flatten(), nn.Linear(6, 5)), (3, 4), "reshape (_1) reads it"),
        (nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(3, 1, 1), nn.Linear(6, 5)), (3, 4), "max_pool"),
        (nn.Sequential(conv(), nn.Flatten(), nn.ReLU6(), nn.Linear(36, 5)), (4, 5, 5), "stands after flattening"),
        (nn.Sequential(conv(), nn.ConstantPad2d(1, 2.0), conv()), (4, 5, 5), "pad ("),
        (
            Function(lambda m, x: m.b(F.pad(m.a(x), (0, 0, 0, 0, 1, 3))), a=conv(), b=conv(8)),
            (4, 5, 5),
            "pad (",
        ),
        (
            Function(lambda m, x: m.b(m.a(x).mean(1)), a=nn.Conv1d(4, 4, 3), b=nn.Linear(4, 5)),
            (4, 6),
            "mean (mean) reads it",
        ),
    ],
)
def test_where_channels_do_not_pass_there_is_no_family_and_a_reason(module, shape, expected):
    assert expected in reason(module, *shape)


def test_a_relu_after_flattening_is_no_obstacle():
    found, _ = families(nn.Sequential(conv(), nn.Flatten(), nn.ReLU(), nn.Linear(36, 5)), 4, 5, 5)
    assert found[0].repeats == [9]


def test_a_layer_that_nobody_reads_begins_no_family():
    network = capture(nn.Sequential(conv()), images(2, 4, 5, 5))
    result = explore(network, network.layers[0], shapes(network))
    assert not isinstance(result, Family)


def test_channels_of_a_linear_layer_are_the_last_dimension():
    network = capture(nn.Sequential(nn.Conv1d(4, 4, 1), nn.Linear(7, 3)), images(2, 4, 7))
    assert [channel_axis(layer) for layer in network.layers] == [1, -1]


def test_a_cap_is_a_bound_beside_0():
    assert not is_capped(Activation(0.0, float("inf")))
    assert not is_capped(Activation(torch.zeros(3), torch.full((3,), float("inf"))))
    assert is_capped(Activation(0.0, 6.0))
    assert is_capped(Activation(torch.tensor([0.0, -1.0]), float("inf")))
