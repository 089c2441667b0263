import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.graph.activation import Activation
from microjoule.graph.families import Reader, _Scaling, find_families, is_capped
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.rescale import rescale
from tests.capture.models import Function, images
from tests.graph.channel_networks import NETWORKS
from tests.quantization.networks import outputs, uneven


def conv(ins=4, outs=4, kernel=3, **settings):
    return nn.Conv2d(ins, outs, kernel, **settings)


def families(module, *shape):
    return find_families(capture(module.eval(), images(2, *shape)))


def reason(module, *shape):
    found, skipped = families(module, *shape)
    assert found == []
    return skipped[0].reason


def channels(family):
    """For each reader, the channel that each of its inputs is."""
    return [reader.channels.tolist() for reader in family.readers]


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
    assert channels(found[0]) == [[0, 1, 2, 3]]
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
    assert channels(found[0]) == [[c for c in range(4) for _ in range(9)]]


def test_pooling_to_one_value_and_flattening_repeats_nothing():
    module = nn.Sequential(conv(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    found, _ = families(module, 4, 5, 5)
    assert channels(found[0]) == [[0, 1, 2, 3]]


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


def with_stored(m, x):
    return m.b(torch.cat([m.a(x), m.more.expand(len(x), 4, 3)], 2))


def places_capped(m, x):
    return m.b(torch.clamp(m.a(x), max=m.caps))


def holding(module, **tensors):
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor)
    return module


LINES = {"a": nn.Conv1d(4, 4, 1), "b": nn.Conv1d(4, 4, 1)}
WITH_STORED = holding(Function(with_stored, **LINES), more=torch.randn(1, 4, 1))
WIDTH_CAPPED = holding(Function(places_capped, a=conv(), b=conv()), caps=torch.rand(4))
PLACES_CAPPED = holding(Function(places_capped, a=conv(), b=conv()), caps=torch.rand(4, 5, 5))


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Sequential(conv(), nn.Sigmoid(), conv()), (4, 7, 7), "sigmoid (_1) reads it"),
        (Function(add, a=conv(), b=conv(padding=1)), (4, 7, 7), "add (add) reads it"),
        (Function(twice, a=conv(), b=conv()), (4, 9, 9), "it is used more than once"),
        (Function(lambda m, x: m.b(m.b(m.a(x))), a=conv(), b=conv()), (4, 9, 9), "b, which reads it, is used more"),
        (nn.Sequential(nn.Conv1d(4, 4, 3), nn.Linear(5, 4)), (4, 7), "1 reads another dimension than the channels"),
        (nn.Sequential(nn.Linear(7, 4), nn.Conv1d(4, 4, 3)), (4, 7), "1 reads another dimension than the channels"),
        (nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(3, 1, 1), nn.Linear(6, 5)), (3, 4), "works across its channels"),
        (nn.Sequential(conv(), nn.Flatten(), nn.ReLU6(), nn.Linear(36, 5)), (4, 5, 5), "stands after flattening"),
        (nn.Sequential(conv(), nn.ConstantPad2d(1, 2.0), conv()), (4, 5, 5), "pad ("),
        (
            Function(lambda m, x: m.b(m.a(x).mean(1)), a=nn.Conv1d(4, 4, 3), b=nn.Linear(4, 5)),
            (4, 6),
            "mean adds up its channels",
        ),
        (
            Function(lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 2)), a=conv(), b=conv(), c=conv()),
            (4, 7, 7),
            "its channels meet each other, or others",
        ),
        (
            holding(Function(with_stored, **LINES), more=torch.randn(1, 4, 1)),
            (4, 7),
            "it meets more, which is stored",
        ),
        (Function(lambda m, x: m.b(m.a(x).flip(1) + 0), **LINES), (4, 7), "add (add) reads it"),
        (
            Function(lambda m, x: m.c(F.relu6(torch.cat([m.a(x), m.b(x)], 1))), a=conv(), b=conv(), c=conv(8)),
            (4, 7, 7),
            "stands after flattening, splitting or joining",
        ),
        (Function(lambda m, x: m.b(F.prelu(x, m.a(x).mean((0, 2)))), **LINES), (4, 7), "prelu (prelu) reads it"),
        (PLACES_CAPPED, (4, 7, 7), "has other bounds than one for each channel"),
        (WIDTH_CAPPED, (4, 6, 6), "has other bounds than one for each channel"),
        (
            Function(lambda m, x: m.b(F.relu6(m.a(x).unflatten(1, (2, 2))).flatten(1, 2)), a=conv(), b=conv()),
            (4, 7, 7),
            "stands after flattening",
        ),
    ],
)
def test_where_channels_do_not_pass_there_is_no_family_and_a_reason(module, shape, expected):
    assert expected in reason(module, *shape)


def test_a_stored_tensor_has_one_label_however_large_it_is():
    module = holding(Function(lambda m, x: m.b(m.a(x)) * m.table.sum(), a=conv(), b=conv()), table=torch.rand(100, 100))
    walk = _Scaling(capture(module.eval(), torch.randn(2, 4, 7, 7)))
    assert walk.labels.count < 100


def test_a_relu_after_flattening_is_no_obstacle():
    found, _ = families(nn.Sequential(conv(), nn.Flatten(), nn.ReLU(), nn.Linear(36, 5)), 4, 5, 5)
    assert channels(found[0]) == [[c for c in range(4) for _ in range(9)]]


def test_a_cap_is_a_bound_beside_0():
    assert not is_capped(Activation(0.0, float("inf")))
    assert not is_capped(Activation(torch.zeros(3), torch.full((3,), float("inf"))))
    assert is_capped(Activation(0.0, 6.0))
    assert is_capped(Activation(torch.tensor([0.0, -1.0]), float("inf")))


def image_network(run, **modules):
    return Function(run, **modules), (4, 7, 7)


def split_in_two(m, x):
    left, right = F.relu6(m.a(x)).split([1, 3], 1)
    return m.b(left) + m.c(right)


def shuffled(m, x):
    y = m.a(x).relu()
    return m.b(y.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2))


FOUND = {
    "a concatenation": (
        *image_network(
            lambda m, x: m.c(torch.cat([m.a(x), x, m.b(x)], 1).relu()), a=conv(4, 4, 1), b=conv(4, 3, 1), c=conv(11)
        ),
        {"a -> c": [[0, 1, 2, 3, *[-1] * 7]], "b -> c": [[*[-1] * 8, 0, 1, 2]]},
    ),
    "a split": (
        *image_network(split_in_two, a=conv(), b=conv(1), c=conv(3)),
        {"a -> b, c": [[0], [1, 2, 3]]},
    ),
    "slices": (
        *image_network(
            lambda m, x: m.b(m.a(x)[:, 1:]) + m.c(m.a2(x)[:, :1]), a=conv(), b=conv(3), c=conv(1), a2=conv()
        ),
        {"a -> b": [[1, 2, 3]], "a2 -> c": [[0]]},
    ),
    "a shuffle": (*image_network(shuffled, a=conv(), b=conv()), {"a -> b": [[0, 2, 1, 3]]}),
    "channels padded": (
        *image_network(lambda m, x: m.b(F.pad(m.a(x), (0, 0, 0, 0, 1, 3))), a=conv(), b=conv(8)),
        {"a -> b": [[-1, 0, 1, 2, 3, -1, -1, -1]]},
    ),
    "a stored cap a channel": (
        holding(Function(places_capped, a=conv(), b=conv()), caps=torch.rand(4, 1, 1)),
        (4, 7, 7),
        {"a -> b": [[0, 1, 2, 3]]},
    ),
    "channels turned round": (
        *image_network(lambda m, x: m.b(m.a(x).flip(1)), a=conv(), b=conv()),
        {"a -> b": [[3, 2, 1, 0]]},
    ),
    "a repeat": (
        *image_network(lambda m, x: m.b(m.a(x).repeat(1, 2, 1, 1)), a=conv(), b=conv(8)),
        {"a -> b": [[0, 1, 2, 3, 0, 1, 2, 3]]},
    ),
    "channels last": (
        *image_network(lambda m, x: m.b(F.relu6(m.a(x)).permute(0, 2, 3, 1)), a=conv(), b=nn.Linear(4, 2)),
        {"a -> b": [[0, 1, 2, 3]]},
    ),
    "tokens flattened": (
        nn.Sequential(nn.Linear(4, 2), nn.Flatten(), nn.Linear(6, 5)),
        (3, 4),
        {"0 -> 2": [[0, 1, 0, 1, 0, 1]]},
    ),
    "one channel": (nn.Sequential(nn.Conv1d(4, 1, 3), nn.ReLU6(), nn.Linear(5, 3)), (4, 7), {"0 -> 2": [[0] * 5]}),
}
"""Name -> (module, shape of a sample, for each family the channels that its readers' inputs are)."""


@pytest.mark.parametrize("name", FOUND)
def test_labels_say_which_inputs_each_channel_is(name):
    module, shape, expected = FOUND[name]
    found, _ = families(module, *shape)
    assert {str(family): channels(family) for family in found} == expected


@pytest.mark.parametrize("name", [*NETWORKS, *(f"found: {name}" for name in FOUND)])
def test_scaling_any_family_leaves_the_network_what_it_is(name):
    """In float64; scales of a hundred apart, on each family by itself and on all together."""
    build, shape = (lambda: FOUND[name[7:]][0], FOUND[name[7:]][1]) if name.startswith("found") else NETWORKS[name]
    example, x = torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = capture(uneven(copy.deepcopy(build())).eval(), example.float()).to(torch.float64)
    fold_batch_norms(network)
    before = outputs(network, 9 * x)
    count = len(find_families(network, norms=True)[0])
    for which in [*([index] for index in range(count)), list(range(count))]:
        scaled = network.copy()
        found = find_families(scaled, norms=True)[0]
        chosen = [found[index] for index in which]
        scales = [torch.logspace(-1, 1, one.first.out_channels, dtype=torch.float64).flip(0) for one in chosen]
        rescale(scaled, chosen, scales)
        assert_close(outputs(scaled, 9 * x), before, rtol=1e-10, atol=1e-10)
        assert any(differs(network, scaled)) == bool(which)


def differs(network, other):
    """Whether each stored tensor has changed."""
    state = other.state_dict()
    return [not torch.equal(value, state[key]) for key, value in network.state_dict().items()]


def test_spreading_and_gathering_by_hand():
    reader = Reader(None, torch.tensor([2, -1, 0, 2]))
    assert reader.spread(torch.tensor([5.0, 6.0, 7.0])).tolist() == [7, 1, 5, 7]
    assert reader.spread(torch.tensor([5.0, 6.0, 7.0]), other=0.0).tolist() == [7, 0, 5, 7]
    assert reader.largest(torch.tensor([3.0, 9.0, 1.0, 4.0]), 3).tolist() == [1, 0, 4]


def test_norms_are_looked_at_when_asked_for_and_after_the_layers():
    network = capture(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 6), nn.Linear(6, 2)), images(2, 3, 4))
    assert [str(family) for family in find_families(network)[0]] == ["1 -> 2"]
    found, skipped = find_families(network, norms=True)
    assert [(str(family), family.first.kind) for family in found] == [("1 -> 2", "linear"), ("0 -> 1", "layer_norm")]
    assert [one.place for one in skipped] == ["2"]
