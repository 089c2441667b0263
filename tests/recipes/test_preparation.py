import time

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
from microjoule.recipes.preparation import check_network, example_range, inputs_and_judge, run_record
from tests.capture.models import Function

X, Y = torch.arange(100.0)[:, None], torch.zeros(100, dtype=torch.int64)


def values(data):
    return [value for inputs, _ in data for value in inputs[0].flatten().tolist()]


def network(*, fixed=None):
    made = Function(lambda m, x: m.layer(x.reshape(fixed or -1, 1)), layer=nn.Linear(1, 2))
    return capture(made.eval(), torch.rand(fixed or 2, 1))


def test_a_module_and_a_quantized_network_are_refused():
    with pytest.raises(SettingError, match=r"network: is a GraphModule\n.*mj\.capture"):
        check_network(network().module)
    quantized = mj.recipes.data_free(network(), data=X[:2])
    with pytest.raises(SettingError, match=r"network: is quantized\n.*then quantize"):
        check_network(quantized)


@pytest.mark.parametrize(("samples", "fitted"), [(1000, 80), (10, 10), (80, 80), (1, 1)])
def test_what_is_fitted_to_does_not_judge(samples, fitted):
    inputs, judge = inputs_and_judge(network(), (X, Y), None, samples)
    assert values(inputs) == list(range(fitted))
    assert values(judge) == list(range(fitted, 100))
    assert all(targets is not None for _, targets in judge)


def test_calibration_inputs_leave_all_data_to_judge():
    inputs, judge = inputs_and_judge(network(), (X, Y), X[50:], 20)
    assert values(inputs) == list(range(50, 70))
    assert values(judge) == list(range(100))


def test_data_of_a_fixed_batch_is_parted_between_batches():
    inputs, judge = inputs_and_judge(network(fixed=32), (X[:96], Y[:96]), None, 1000)
    assert (values(inputs), values(judge)) == (list(range(64)), list(range(64, 96)))
    inputs, judge = inputs_and_judge(network(fixed=32), (X[:64], Y[:64]), None, 1000)
    assert (values(inputs), values(judge)) == (list(range(32)), list(range(32, 64)))


def test_too_little_data_to_be_parted():
    with pytest.raises(DataError, match=r"too few samples, 1, to fit to some and be judged by others\n.*2 at"):
        inputs_and_judge(network(), (X[:1], Y[:1]), None, 1000)
    with pytest.raises(DataError, match=r"samples, 63, .*\n.*give 64 at least"):
        inputs_and_judge(network(fixed=32), (X[:63], Y[:63]), None, 1000)
    with pytest.raises(SettingError, match="samples: is 0"):
        inputs_and_judge(network(), (X, Y), None, 0)


def test_the_range_of_the_example_inputs():
    made = capture(nn.Sequential(nn.Linear(2, 1)), torch.tensor([[-2.0, 1.0], [0.5, 3.0]]))
    assert example_range(made) == (-2.0, 3.0)


def test_a_run_is_noted_with_what_it_was_given():
    record = run_record("gptq", {"target": "xnnpack", "weights": 4, "layers": {}, "rule": None}, 7, time.perf_counter())
    assert (record.recipe, record.settings, record.seed) == ("gptq", {"target": "xnnpack", "weights": "4"}, 7)
    assert 0 <= record.seconds < 60
