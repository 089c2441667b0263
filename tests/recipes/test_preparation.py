import time

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
from microjoule.recipes.preparation import (
    check_network,
    choose_and_confirm,
    example_range,
    fit_and_judge,
    fit_choose_confirm,
    run_record,
)
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


def all_of(*parts):
    return sorted(value for part in parts for value in values(part))


@pytest.mark.parametrize(("samples", "sizes"), [(1000, (60, 20, 20)), (10, (10, 45, 45)), (1, (1, 49, 50))])
def test_what_is_fitted_to_does_not_choose_and_what_chooses_does_not_confirm(samples, sizes):
    found = fit_choose_confirm(network(), (X, Y), None, None, samples=samples, seed=0)
    assert sorted(len(values(part)) for part in found) == sorted(sizes)
    assert len(values(found[0])) == sizes[0]
    assert all_of(*found) == list(range(100))
    assert [part.name for part in found[1:]] == ["tuple (part to choose by)", "tuple (part to confirm on)"]
    assert all(targets is not None for part in found[1:] for _, targets in part)


def test_each_class_is_in_every_part():
    labels = torch.arange(100) // 10  # sorted, as a folder of images is
    for part in fit_choose_confirm(network(), (X, labels), None, None, samples=1000, seed=0)[1:]:
        assert len({int(label) for _, targets in part for label in targets}) == 10


def test_another_seed_divides_in_another_way():
    found = {seed: tuple(values(choose_and_confirm(network(), (X, Y), None, seed=seed)[0])) for seed in (0, 1)}
    assert found[0] != found[1]
    assert len(found[0]) == len(found[1]) == 50


def test_calibration_inputs_leave_all_data_to_choose_and_confirm():
    inputs, *halves = fit_choose_confirm(network(), (X, Y), X[50:], None, samples=20, seed=0)
    assert values(inputs) == list(range(50, 70))
    assert [len(values(half)) for half in halves] == [50, 50]
    assert all_of(*halves) == list(range(100))


def test_other_data_to_confirm_on_leaves_all_to_choose_by():
    other = (X[:7] + 1000, Y[:7])
    choose, confirm = choose_and_confirm(network(), (X, Y), other, seed=0)
    assert (values(choose), values(confirm)) == (list(range(100)), list(range(1000, 1007)))
    inputs, choose, confirm = fit_choose_confirm(network(), (X, Y), None, other, samples=1000, seed=0)
    assert [len(values(part)) for part in (inputs, choose, confirm)] == [80, 20, 7]


def test_where_nothing_is_chosen_the_rest_judges():
    inputs, judge = fit_and_judge(network(), (X, Y), None, samples=1000, seed=0)
    assert (len(values(inputs)), all_of(inputs, judge)) == (80, list(range(100)))
    inputs, judge = fit_and_judge(network(), X, X[50:], samples=20, seed=0)
    assert (values(inputs), values(judge)) == (list(range(50, 70)), list(range(100)))


def test_batches_that_are_fixed_stay_whole():
    choose, confirm = choose_and_confirm(network(fixed=32), (X[:64], Y[:64]), None, seed=0)
    assert sorted([values(choose), values(confirm)]) == [list(range(32)), list(range(32, 64))]
    five = torch.arange(160.0)[:, None], torch.zeros(160, dtype=torch.int64)
    found = fit_choose_confirm(network(fixed=32), five, None, None, samples=1000, seed=0)
    assert sorted(len(values(part)) for part in found) == [32, 32, 96]


def test_too_little_data_to_be_divided():
    with pytest.raises(
        DataError, match=r"samples, 1, to choose by some and to confirm on others\n.*at least 2, .*confirm"
    ):
        choose_and_confirm(network(), (X[:1], Y[:1]), None, seed=0)
    with pytest.raises(DataError, match=r"samples, 4, .*\n.*give at least 5, "):
        fit_choose_confirm(network(), (X[:4], Y[:4]), None, None, samples=1000, seed=0)
    with pytest.raises(DataError, match=r"samples, 63, .*\n.*give at least 64"):
        choose_and_confirm(network(fixed=32), (X[:63], Y[:63]), None, seed=0)
    with pytest.raises(SettingError, match="samples: is 0"):
        fit_choose_confirm(network(), (X, Y), None, None, samples=0, seed=0)


@pytest.mark.parametrize(("data", "confirm"), [(X, None), ((X, Y), X), (X, (X, Y))], ids=["data", "confirm", "both"])
def test_data_without_targets_neither_chooses_nor_confirms(data, confirm):
    with pytest.raises(DataError, match="has no targets"):
        choose_and_confirm(network(), data, confirm, seed=0)


def test_the_range_of_the_example_inputs():
    made = capture(nn.Sequential(nn.Linear(2, 1)), torch.tensor([[-2.0, 1.0], [0.5, 3.0]]))
    assert example_range(made) == (-2.0, 3.0)


def test_a_run_is_noted_with_what_it_was_given():
    record = run_record("gptq", {"target": "xnnpack", "weights": 4, "layers": {}, "rule": None}, 7, time.perf_counter())
    assert (record.recipe, record.settings, record.seed) == ("gptq", {"target": "xnnpack", "weights": "4"}, 7)
    assert 0 <= record.seconds < 60
