"""Distillation: the equations by hand, then what a teacher may be."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.errors import DataError, GraphError, SettingError
from microjoule.execution.distill import Lessons, Teacher, find_value, logits, relative_error, soft_divergence
from microjoule.graph.ops import aten
from tests.capture.models import images


def test_the_divergence_by_hand():
    """At T = 2, logits 2 log 3 and 0 are 3/4 and 1/4; KL((3/4, 1/4) || (1/2, 1/2)) = log 2 - H(3/4)."""
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert soft_divergence(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)
    reverse = 4 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert soft_divergence(teacher, student, 2.0).item() == pytest.approx(reverse, rel=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.5, 20), st.floats(-5, 5))
def test_the_divergence_is_0_between_equals_whatever_is_added_to_all_logits(seed, temperature, offset):
    drawn = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(seed))
    assert abs(soft_divergence(drawn + offset, drawn, temperature).item()) < 1e-4
    assert soft_divergence(drawn.flip(1), drawn, temperature) >= -1e-6


def test_the_divergence_is_a_mean_over_samples_and_places():
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    rows = [t.movedim(1, -1).reshape(-1, 3) for t in (student, teacher)]
    assert_close(soft_divergence(student, teacher, 3.0), soft_divergence(*rows, 3.0))


def test_the_relative_error_by_hand():
    """Variance of (0, 2, 4, 6) is 5; the squares of the differences are 1, 1, 4, 4."""
    teacher, student = torch.tensor([0.0, 2.0, 4.0, 6.0]), torch.tensor([1.0, 1.0, 6.0, 4.0])
    assert relative_error(student, teacher).item() == pytest.approx(2.5 / 5)
    assert_close(relative_error(10 * student, 10 * teacher), relative_error(student, teacher))


def test_a_teacher_that_never_changes_counts_as_it_is():
    assert relative_error(torch.ones(4), torch.full((4,), 3.0)).item() == 4.0


def net(seed=0, hidden=6):
    torch.manual_seed(seed)
    return capture(nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 3)), images(2, 4))


def test_values_are_found_by_layer_and_by_node():
    network = net()
    assert find_value(network, "0") is network.layer("0").node
    relu = next(node for node in network.graph.nodes if node.target is aten.relu.default)
    assert find_value(network, relu.name) is relu
    with pytest.raises(GraphError, match="is no node"):
        find_value(network, "nobody")


def test_the_loss_is_shared_and_features_are_added():
    student, teacher = net(0), net(1)
    told = Teacher(teacher, temperature=2.0, weight=0.25, features={"0": "0", "2": "2"}, feature_weight=3.0)
    lessons = Lessons(student, told)
    x = images(5, 4)
    first, theirs = (n.module.get_submodule("0")(x) for n in (student, teacher))
    values = dict(zip(lessons.wanted, (first, student(x)), strict=True))
    loss = lessons.loss(student(x), values, (x,), torch.tensor(7.0))
    features = relative_error(first, theirs) + relative_error(student(x), teacher(x))
    soft = soft_divergence(student(x), teacher(x), 2.0)
    assert_close(loss, 0.75 * 7 + 0.25 * soft + 3 * features)
    assert_close(lessons.loss(student(x), values, (x,), None), soft + 3 * features)


def test_a_teacher_has_no_gradient():
    student, teacher = net(0), net(1)
    x = images(5, 4)
    Lessons(student, Teacher(teacher)).loss(student(x), {}, (x,), None).backward()
    assert all(p.grad is None for p in teacher.module.parameters())
    assert all(p.grad is not None for p in student.module.parameters())


def test_values_of_other_shapes_are_refused():
    student, x = net(0), images(5, 4)
    lessons = Lessons(student, Teacher(net(1, hidden=7), features={"0": "0"}))
    values = {lessons.wanted[0]: torch.zeros(5, 6)}
    with pytest.raises(DataError, match=r"has shape \(5, 6\) in the network and \(5, 7\) in its teacher"):
        lessons.loss(student(x), values, (x,), None)


@pytest.mark.parametrize("outputs", [torch.zeros(3), (torch.zeros(2, 2),)], ids=["one dimension", "tuple"])
def test_what_is_no_logits_is_refused(outputs):
    with pytest.raises(DataError, match="not logits"):
        logits(outputs, "network")


def test_nobody_is_their_own_teacher():
    network = net()
    with pytest.raises(GraphError, match="is the network that learns"):
        Lessons(network, Teacher(network))


@pytest.mark.parametrize(
    "setting", [{"temperature": 0.0}, {"weight": -0.1}, {"weight": 1.1}, {"feature_weight": -1.0}], ids=str
)
def test_settings_that_cannot_be_are_refused(setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        Teacher(net(), **setting)
