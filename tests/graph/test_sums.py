import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.execution.run import run
from microjoule.graph.ops import aten
from microjoule.graph.sums import find_sums, relink
from tests.capture.models import Function, images


def network_of(function, *names):
    """A function of an input and convolutions of these names, of 3 to 3 channels."""
    torch.manual_seed(0)
    return capture(Function(function, **{name: nn.Conv2d(3, 3, 1) for name in names}), images(1, 3, 4, 4))


def then(value, function):
    return function(value)


def told(network):
    """The sums by the names of their nodes."""
    return [
        ([one.name for one in found.terms], [one.name for one in found.adds], found.start and found.start.name)
        for found in find_sums(network)
    ]


def test_several_convolutions_are_one_sum():
    network = network_of(lambda m, x: m.a(x) + m.b(x) + m.c(x), "a", "b", "c")
    assert told(network) == [(["a", "b", "c"], ["add", "add_1"], None)]
    assert find_sums(network)[0].total.name == "add_1"


def test_sums_of_sums_are_one():
    network = network_of(lambda m, x: (m.a(x) + m.b(x)) + (m.c(x) + m.d(x)), "a", "b", "c", "d")
    assert told(network) == [(["a", "b", "c", "d"], ["add", "add_1", "add_2"], None)]


@pytest.mark.parametrize("function", [lambda m, x: x.relu() + m.a(x), lambda m, x: m.a(x) + x.relu()])
def test_what_one_convolution_is_added_to_is_the_start(function):
    assert told(network_of(function, "a")) == [(["a"], ["add"], "relu")]


def test_a_chain_from_another_value_has_one_sum_an_add():
    network = network_of(lambda m, x: x.relu() + m.a(x) + m.b(x), "a", "b")
    assert told(network) == [(["a"], ["add"], "relu"), (["b"], ["add_1"], "add")]


def test_a_sum_that_another_value_is_added_to_ends_before_that():
    network = network_of(lambda m, x: m.a(x) + m.b(x) + x, "a", "b")
    assert told(network) == [(["a", "b"], ["add"], None)]


def test_a_sum_that_others_read_ends_there():
    def function(m, x):
        first = m.a(x) + m.b(x)
        return first.relu(), first + m.c(x)

    network = network_of(function, "a", "b", "c")
    assert told(network) == [(["a", "b"], ["add"], None), (["c"], ["add_1"], "add")]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x + x.relu(),
        lambda m, x: then(m.a(x), lambda y: y + y),
        lambda m, x: then(m.a(x), lambda y: y.relu() + y),
        lambda m, x: m.a(x) + 1,
        lambda m, x: x + m.a(x[:, :, :1]),
        lambda m, x: torch.add(x, m.a(x), alpha=2),
        lambda m, x: x.double() + m.a(x),
        lambda m, x: x - m.a(x),
        lambda m, x: x + m.a(x).relu(),
    ],
    ids=[
        "none",
        "twice",
        "read by others",
        "number",
        "broadcast",
        "scaled",
        "other type",
        "difference",
        "not directly",
    ],
)
def test_what_is_no_sum(function):
    assert told(network_of(function, "a")) == []


def test_terms_are_added_in_another_order():
    network = network_of(lambda m, x: then(m.c(x), lambda c: m.a(x) + m.b(x) + c), "a", "b", "c")
    x = network.example.args
    expected = run(network, x)
    (found,) = find_sums(network)
    relink(found, [network.node(name) for name in ("c", "a", "b")])
    assert [[one.name for one in add.args] for add in found.adds] == [["c", "a"], ["add", "b"]]
    network.recompile()
    torch.testing.assert_close(run(network, x), expected)


def test_the_order_in_which_they_are_added_already_changes_nothing():
    network = network_of(lambda m, x: m.a(x) + m.b(x) + m.c(x), "a", "b", "c")
    (found,) = find_sums(network)
    before = [add.args for add in found.adds]
    relink(found, list(found.terms))
    assert [add.args for add in found.adds] == before
    assert all(add.target is aten.add.Tensor for add in found.adds)
