import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.channels import channel_groups
from microjoule.graph.label_trace import Trace
from tests.capture.models import Function
from tests.graph.channel_networks import IMAGE, NETWORKS, conv


def traced(module, *shape):
    return Trace(capture(module.eval(), (torch.randn(2, *(shape or IMAGE)),)))


def reasons(module, *shape):
    found = channel_groups(capture(module.eval(), (torch.randn(2, *(shape or IMAGE)),)))
    return {one.place: one.reason for one in found.fixed}


def test_every_layer_and_norm_has_its_places_in_the_order_of_the_network():
    places = traced(NETWORKS["plain"][0]()).places
    assert list(places) == [
        *(("0", "in"), ("0", "out"), ("1", "norm"), ("3", "in"), ("3", "out"), ("4", "slope")),
        *(("6", "in"), ("6", "out")),
    ]
    assert [len(value.labels) for value in places.values()] == [3, 6, 6, 6, 8, 8, 8, 5]


def test_what_is_left_of_every_value_is_a_value():
    """Classes depend on one axis each, also where an axis of channels was split and nothing else tied it."""
    trace = traced(NETWORKS["shuffled"][0]())
    for value in trace.values.values():
        for part in value if isinstance(value, list | tuple) else [value]:
            numbers = trace.classes[part.labels] if part is not None and not isinstance(part, int) else torch.zeros(1)
            axes = [a for a in range(numbers.dim()) if not torch.equal(numbers, numbers.narrow(a, 0, 1) + 0 * numbers)]
            assert len(axes) <= 1


def test_a_layer_norm_needs_all_channels():
    module = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))
    assert reasons(module, 5, 4)["0"] == "the layer norm 1 works across its channels"


def test_a_layer_norm_within_heads_keeps_heads_free():
    def run(m, x):
        return m.out(m.norm(m.a(x).unflatten(2, (3, 4))).flatten(2))

    module = Function(run, a=nn.Linear(5, 12), norm=nn.LayerNorm(4), out=nn.Linear(12, 2))
    (group,) = channel_groups(capture(module.eval(), (torch.randn(2, 6, 5),))).groups
    assert (group.size, group.members[-1].channels[1]) == (3, (4, 5, 6, 7))


def test_a_layer_that_reads_another_axis_keeps_the_channels():
    module = Function(lambda m, x: m.b(m.a(x)), a=conv(3, 4), b=nn.Linear(8, 5))
    assert reasons(module)["a"] == "b reads another dimension than the channels"


def test_recurrent_layers_need_all_channels():
    module = Function(lambda m, x: m.b(m.a(x))[0], a=nn.Linear(4, 6), b=nn.LSTM(6, 3, batch_first=True))
    assert reasons(module, 5, 4)["a"] == "lstm (b) is not known to leave channels apart"


def test_a_slope_for_all_channels_is_no_member():
    places = traced(nn.Sequential(conv(3, 4), nn.PReLU(), conv(4, 2))).places
    assert not any(side == "slope" for _, side in places)


def test_a_stored_tensor_read_twice_is_one_place():
    def run(m, x):
        return m.c(m.a(x) * m.scale) + m.c(m.b(x) * m.scale)

    module = Function(run, a=conv(3, 4), b=conv(3, 4), c=conv(4, 2))
    module.scale = nn.Parameter(torch.randn(1, 4, 1, 1))
    (group,) = channel_groups(capture(module.eval(), (torch.randn(2, *IMAGE),))).groups
    assert group.makers == ("a", "b")


def test_a_weight_that_is_computed_keeps_what_it_reads():
    module = Function(lambda m, x: torch.conv2d(m.a(x), m.b.weight * x.sum()), a=conv(3, 4), b=conv(4, 2))
    assert reasons(module)["a"] == "the weights of conv2d are computed, or another's as well"


def test_without_a_batch_channels_are_the_first_axis():
    module = nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 2))
    network = capture(Function(lambda m, x: m.net(x[0])[None], net=module).eval(), (torch.randn(1, *IMAGE),))
    (group,) = channel_groups(network).groups
    assert (group.size, group.makers, group.readers) == (4, ("net.0",), ("net.2",))
