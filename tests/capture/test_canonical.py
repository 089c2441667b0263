import operator

import pytest
import torch
from torch import nn

from microjoule.capture.canonical import (
    canonicalize,
    functional,
    hidden_readers,
    is_in_place,
    needs_functionalization,
)
from microjoule.capture.export import capture
from tests.capture.models import MODELS, Function, images

aten = torch.ops.aten


def traced(function, *args):
    program = torch.export.export(Function(function).eval(), args, strict=False)
    return program.module(check_guards=False)


def targets(module):
    return [node.target for node in module.graph.nodes if node.op == "call_function"]


def written(module):
    return next(node for node in module.graph.nodes if node.op == "call_function" and is_in_place(node))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.detach() * 2,
        lambda m, x: x.contiguous() * 2,
        lambda m, x: x.clone() * 2,
        lambda m, x: x[:] * 2,
        lambda m, x: x[:, :] * 2,
        lambda m, x: x.to(torch.float32) * 2,
        lambda m, x: x.float().type_as(x) * 2,
    ],
)
def test_what_changes_nothing_is_left_out(function):
    assert targets(canonicalize(traced(function, images(2, 3)))) == [aten.mul.Tensor]


@pytest.mark.parametrize(
    ("function", "target"),
    [
        (lambda m, x: x[:, 1:] * 2, aten.slice.Tensor),
        (lambda m, x: x[:, ::2] * 2, aten.slice.Tensor),
        (lambda m, x: x.double() * 2, aten.to.dtype),
        (lambda m, x: x.view(3, 2) * 2, aten.reshape.default),
    ],
)
def test_what_changes_something_stays(function, target):
    assert targets(canonicalize(traced(function, images(2, 3)))) == [target, aten.mul.Tensor]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_no_operator_of_a_network_writes_into_its_input(name):
    module, args = MODELS[name]
    assert not [node for node in capture(module, args).graph.nodes if is_in_place(node)]


def test_in_place_operators_have_functional_ones():
    assert functional(aten.relu_.default) is aten.relu.default
    assert functional(aten.add_.Tensor) is aten.add.Tensor
    assert functional(aten.clamp_.default) is aten.clamp.default


def overwritten_then_read(m, x):
    y = x + 1
    z = y * 3
    y.mul_(2)
    return y + z


def read_again(m, x):
    y = x + 1
    view = y[:, 0]
    y.mul_(2)
    return view * 1


def read_through_its_result(m, x):
    return (x + 1).mul_(2) * 3


def written_through_a_view(m, x):
    y = x + 1
    y[:, 0].mul_(2)
    return y * 1


def read_before(m, x):
    y = x + 1
    z = y * 3
    return z + y.mul_(2)


@pytest.mark.parametrize(
    ("function", "hidden"),
    [
        (overwritten_then_read, False),
        (read_through_its_result, False),
        (read_before, False),
        (read_again, True),
        (written_through_a_view, True),
    ],
)
def test_who_can_see_a_write(function, hidden):
    module = traced(function, images(2, 3))
    node = written(module)
    others = [one for one in hidden_readers(node) if one.target is not operator.getitem]
    assert bool(others) == hidden
    assert needs_functionalization(canonicalize(module)) == hidden


@pytest.mark.parametrize(
    "function", [overwritten_then_read, read_through_its_result, read_before, read_again, written_through_a_view]
)
def test_a_network_gives_what_its_in_place_model_gives(function):
    module = nn.Sequential(Function(function))
    network = capture(module, images(2, 3))
    x = images(5, 3)
    assert torch.equal(network(x), module(x))


def test_views_of_views_and_their_siblings_are_seen():
    def function(m, x):
        y = x + 1
        first, second = y.split(2, dim=1)
        first.view(-1).mul_(2)
        return second + y.sum()

    assert needs_functionalization(canonicalize(traced(function, images(1, 4))))
    network = capture(Function(function), images(1, 4))
    assert torch.equal(network(images(1, 4)), Function(function)(images(1, 4)))


def test_guards_and_assertions_are_left_out():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    names = [str(node.target) for node in capture(module, images(2, 3, 4, 4)).graph.nodes]
    assert not [name for name in names if "guard" in name or "assert" in name]
