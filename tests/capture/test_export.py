import re
from pathlib import Path

import pytest
import torch
from torch import nn

from microjoule.capture.compare import LARGEST_RELATIVE_DIFFERENCE, relative_difference
from microjoule.capture.export import capture, unknown_operators
from microjoule.capture.source import first_line, users_line
from microjoule.errors import CaptureError
from tests.capture.models import Function, images, nested

HERE = str(Path(__file__))


def test_nested_inputs_and_outputs_and_keywords():
    module = Function(nested, linear=nn.Linear(4, 4))
    pair = {"a": images(2, 4), "rest": (images(2, 4) + 1, images(2, 4) - 1)}
    network = capture(module, (pair,), {"scale": torch.tensor(2.0)})
    found, expected = network(pair, scale=torch.tensor(3.0)), module(pair, scale=torch.tensor(3.0))
    assert torch.equal(found["sum"], expected["sum"])
    assert torch.equal(found["both"][0], expected["both"][0])
    assert torch.equal(found["both"][1][0], expected["both"][1][0])
    assert len(network.example.tensors) == 4


def test_a_single_tensor_is_taken_as_the_one_input():
    assert len(capture(nn.Linear(4, 3), images(2, 4)).example.args) == 1


def test_inputs_with_a_default_may_be_left_out():
    def forward(m, x, scale=2.0):
        return m.linear(x) * scale

    network = capture(Function(forward, linear=nn.Linear(4, 3)), images(2, 4))
    assert network(images(5, 4)).shape == (5, 3)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_batch_is_dynamic_whatever_the_examples_size(batch):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    network = capture(module, images(batch, 3, 4, 4))
    assert network.dynamic_batch
    assert network.history[0].dynamic_batch
    x = images(5, 3, 4, 4)
    assert torch.equal(network(x), module(x))


def test_a_batch_that_the_model_fixes_stays_fixed():
    module = Function(lambda m, x: m.linear(x.reshape(2, 8)).reshape(2, -1), linear=nn.Linear(8, 3))
    network = capture(module, images(2, 8))
    assert not network.dynamic_batch
    assert torch.equal(network(images(2, 8)), module(images(2, 8)))


def test_the_model_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    module[1].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    network = capture(module, images(2, 3, 5, 5))
    assert [m.training for m in module] == [True, False, True, True]
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.add_(1)
        for buffer in network.module.buffers():
            buffer.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_counter_in_the_model_is_not_advanced():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen.add_(1)
            return x * 2

    module = Counting()
    capture(module, images(2, 4))
    assert module.seen == 0


def test_parameters_still_learn():
    network = capture(nn.Sequential(nn.Linear(4, 3)), images(2, 4))
    network(images(2, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.module.parameters())


def test_the_record_says_what_was_captured():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    record = capture(module, images(2, 3, 5, 5)).history[0]
    assert record.source == "Sequential"
    assert (record.operators["conv"], record.operators["relu"]) == (2, 1)
    assert record.largest_difference == 0.0
    assert record.replaced == ()
    assert record.unknown_operators == ()
    assert record.seconds > 0


def test_an_operator_off_the_written_list_passes_through_and_is_named():
    network = capture(Function(lambda m, x: torch.linalg.vector_norm(x, dim=1)), images(2, 4))
    assert unknown_operators(network.module) == ("aten.linalg_vector_norm.default",)
    assert network.history[0].unknown_operators == ("aten.linalg_vector_norm.default",)


def test_the_relative_difference_by_hand():
    reference = torch.tensor([1.0, -4.0])
    assert relative_difference(torch.tensor([1.0, -4.0]), reference) == 0.0
    assert relative_difference(torch.tensor([1.5, -4.0]), reference) == 0.125
    assert relative_difference(torch.tensor([1.0]), reference) == float("inf")
    assert relative_difference(torch.tensor([0.5]), torch.tensor([0.0])) == 0.5
    assert relative_difference(torch.zeros(0), torch.zeros(0)) == 0.0
    assert not relative_difference(torch.tensor([float("nan")]), torch.ones(1)) <= LARGEST_RELATIVE_DIFFERENCE


# Refusals -------------------------------------------------------------------------------------------------------------


def branch_on_values(m, x):
    if x.sum() > 0:  # the branch
        return m.linear(x)
    return x


def loop_on_values(m, x):
    for _ in range(int(x.max())):  # the loop
        x = m.linear(x)
    return x


def to_numpy(m, x):
    return m.linear(torch.from_numpy(x.detach().numpy() * 2))  # the way out


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (branch_on_values, "if x.sum() > 0"),
        (loop_on_values, "for _ in range"),
        (to_numpy, "return m.linear(torch.from_numpy"),
    ],
)
def test_what_cannot_be_traced_is_refused_at_the_users_line(function, line):
    number = 1 + next(i for i, text in enumerate(Path(HERE).read_text().splitlines()) if text.strip().startswith(line))
    place = re.escape(f"{HERE}:{number} ({line}")
    with pytest.raises(
        CaptureError, match=rf"^{place}.*torch\.export cannot trace it: .+\n  let no control flow depend"
    ):
        capture(Function(function, linear=nn.Linear(4, 4)), images(2, 4).abs() + 1)


def fail(m, x):
    raise ValueError("the model's own words")


def test_a_model_that_fails_is_refused_with_its_line_and_words():
    with pytest.raises(
        CaptureError, match=r"test_export\.py:\d+ \(raise ValueError.*does not run .*the model's own words"
    ):
        capture(Function(fail), images(2, 4))


def test_inputs_of_a_wrong_shape_are_refused():
    with pytest.raises(CaptureError, match="the model does not run on the example inputs: mat1 and mat2 shapes"):
        capture(nn.Sequential(nn.Linear(4, 3)), images(2, 5))


def test_too_few_inputs_are_refused():
    module = Function(lambda m, x, y: x + y)
    with pytest.raises(CaptureError, match="missing 1 required positional argument"):
        capture(module, images(2, 4))


@pytest.mark.parametrize(
    "module", [lambda x: x, torch.randn(3), "model.pt", nn.Linear], ids=["function", "tensor", "text", "class"]
)
def test_what_is_no_module_is_refused(module):
    with pytest.raises(CaptureError, match=r"is no nn\.Module\n  pass the model itself"):
        capture(module, images(2, 4))


@pytest.mark.parametrize("inputs", [(3,), ({"x": 2.0},), None, []])
def test_inputs_without_tensors_are_refused(inputs):
    with pytest.raises(CaptureError, match="example_inputs: hold no tensor"):
        capture(nn.Linear(4, 3), inputs)
    with pytest.raises(CaptureError, match=r"do not fit Linear\.forward: missing a required argument: 'input'"):
        capture(nn.Linear(4, 3), ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_and_inputs_that_are_not_finite_are_refused(value):
    module = nn.Sequential(nn.Linear(4, 3))
    x = images(2, 4)
    x[0, 0] = value
    with pytest.raises(CaptureError, match="example_inputs: hold NaN or infinite values"):
        capture(module, x)
    module[0].weight.data[1, 2] = value
    with pytest.raises(CaptureError, match=r"0\.weight: holds NaN or infinite values"):
        capture(module, images(2, 4))


def test_statistics_that_are_not_a_number_are_refused_and_infinite_masks_are_not():
    norm = nn.Sequential(nn.BatchNorm1d(4))
    norm[0].running_var[0] = float("nan")
    with pytest.raises(CaptureError, match=r"0\.running_var: holds NaN"):
        capture(norm, images(2, 4))

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.full((4, 4), -float("inf")).triu(1))

        def forward(self, x):
            return torch.softmax(x @ x.transpose(1, 2) + self.mask, -1)

    assert capture(Masked(), images(2, 4, 3)).history[0].largest_difference == 0.0


def test_random_outputs_are_refused():
    module = Function(lambda m, x: x + torch.rand_like(x))
    with pytest.raises(CaptureError, match=r"output differs by 0\.\d+ at a second call\n.*look for random numbers"):
        capture(module, images(2, 4))


def test_the_users_line_is_the_last_outside_torch():
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(3, 2)(torch.zeros(1, 5))
    assert re.match(r".*test_export\.py:\d+ \(nn\.Linear", users_line(caught.value))
    assert users_line(ValueError("never raised")) == "the model"


def test_the_first_line_of_an_error_says_something():
    assert first_line(ValueError("\n  words\nmore")) == "words"
    assert first_line(ValueError()) == "ValueError"
