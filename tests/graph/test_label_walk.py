import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.label_walk import LabelWalk
from tests.capture.models import Function
from tests.graph.channel_networks import IMAGE, conv


class Passing(LabelWalk):
    """Every operator does what its rule says; layers tie nothing."""

    def operator(self, node, name, shape):
        if node.op == "output":
            return self.refuse(node, "the end")
        return self.by_rule(node, name, shape)

    def at_layer(self, layer, read, made):
        assert (len(read), len(made)) == (layer.in_channels, layer.out_channels)


def walked(module, *shape):
    return Passing(capture(module.eval(), (torch.randn(2, *(shape or IMAGE)),)))


def reason(walk, path):
    classes = walk.labels.classes()
    first = walk.labels.first_fixed(classes)[classes[walk.places[path, "out"].labels]]
    return {walk.labels.fixed[index][1] if index >= 0 else None for index in first.tolist()}


def test_layers_make_labels_and_read_those_of_others():
    walk = walked(nn.Sequential(conv(3, 4), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 2)))
    made = walk.places["0", "out"].labels
    assert list(walk.places) == [("0", "in"), ("0", "out"), ("4", "in"), ("4", "out")]
    assert torch.equal(walk.places["4", "in"].labels, made.repeat_interleave(4))
    assert len(walk.labels.classes()[made].unique()) == 4
    assert (reason(walk, "0"), reason(walk, "4")) == ({None}, {"the end"})


def test_what_meets_an_input_of_the_network_stays():
    walk = walked(Function(lambda m, x: m.b(m.a(x) + x), a=conv(3, 3), b=conv(3, 2)))
    assert reason(walk, "a") == {"its channels meet an input of the network"}


def test_an_operator_without_a_rule_fixes_what_it_reads():
    walk = walked(Function(lambda m, x: m.b(torch.cumsum(m.a(x), 1)), a=conv(3, 4), b=conv(4, 2)))
    (only,) = reason(walk, "a")
    assert only.endswith("is not known to leave channels apart")


def test_a_layer_that_reads_another_dimension_fixes_what_it_reads():
    walk = walked(Function(lambda m, x: m.b(m.a(x)), a=conv(3, 4), b=nn.Linear(8, 5)))
    assert reason(walk, "a") == {"b reads another dimension than the channels"}


def test_a_layer_that_is_called_twice_makes_one_set_of_channels_and_ties_what_it_reads():
    walk = walked(
        Function(
            lambda m, x: m.end(m.b(m.a(x)) + m.b(m.c(x))), a=conv(3, 4), b=conv(4, 5), c=conv(3, 4), end=conv(5, 2)
        )
    )
    classes = walk.labels.classes()
    assert torch.equal(classes[walk.places["a", "out"].labels], classes[walk.places["c", "out"].labels])
    assert len(classes[walk.places["b", "out"].labels].unique()) == 5


def test_stored_tensors_get_labels_when_they_are_read():
    module = Function(lambda m, x: m.b(m.a(x) * m.scale), a=conv(3, 4), b=conv(4, 2))
    module.scale = nn.Parameter(torch.randn(4, 1, 1))
    walk = walked(module)
    classes = walk.labels.classes()
    stored = walk.places["scale", "constant"]
    assert torch.equal(classes[stored.labels].flatten(), classes[walk.places["a", "out"].labels])


def test_parts_are_taken_by_their_number():
    module = Function(lambda m, x: m.b(F.relu(m.a(x)).split([1, 3], 1)[1]), a=conv(3, 4), b=conv(3, 2))
    walk = walked(module)
    assert torch.equal(walk.places["b", "in"].labels, walk.places["a", "out"].labels[1:])
