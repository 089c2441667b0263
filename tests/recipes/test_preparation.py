import time

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.capture.export import capture
from microjoule.errors import DataError, InputRangeWarning, SettingError
from microjoule.execution.batches import batches
from microjoule.graph.card import InputRange
from microjoule.recipes.preparation import (
    as_ranges,
    check_network,
    choose_and_confirm,
    find_ranges,
    fit_and_judge,
    fit_choose_confirm,
    origins,
    run_record,
)
from microjoule.records.noticed import Noticed
from tests.capture.models import Function

X, Y = torch.arange(100.0)[:, None], torch.zeros(100, dtype=torch.int64)


def values(data):
    return [value for inputs, _ in data for value in inputs[0].flatten().tolist()]


def network(*, fixed=None):
    made = Function(lambda m, x: m.layer(x.reshape(fixed or -1, 1)), layer=nn.Linear(1, 2))
    return capture(made.eval(), torch.rand(fixed or 2, 1))


def test_a_quantized_network_is_refused():
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


class Two(nn.Module):
    def forward(self, a, b, ids):
        return a + b + ids


EXAMPLE = torch.tensor([[-2.0, 1.0], [0.5, 3.0]])


def two(card=None):
    return capture(Two(), (EXAMPLE, EXAMPLE / 2, torch.ones(2, 2, dtype=torch.int64)), card=card)


def test_what_the_caller_says_goes_before_the_data_that_before_the_card_and_that_before_the_example():
    made, data = two(mj.ModelCard((0, 9))), [(EXAMPLE, EXAMPLE * 3, torch.ones(2, 2).long())]
    given = find_ranges(made, {"a": (5, 6), "b": (7, 8)}, batches(data, made))
    assert given == {"a": (5.0, 6.0, "declared"), "b": (7.0, 8.0, "declared")}
    assert find_ranges(made, (5, 6))["b"] == (5.0, 6.0, "declared")
    assert find_ranges(made, None, batches(data, made)) == {"a": (-2.0, 3.0, "data"), "b": (-6.0, 9.0, "data")}
    assert find_ranges(made, None) == dict.fromkeys("ab", (0.0, 9.0, "declared"))
    assert not any(isinstance(record, Noticed) for record in made.history)


def test_an_example_is_a_range_with_a_warning_only():
    made = two(mj.ModelCard({"a": (0, 9)}))
    with pytest.warns(InputRangeWarning, match="b: nothing tells its range but the example inputs, -1 to 1.5") as told:
        found = find_ranges(made, None)
    assert found == {"a": (0.0, 9.0, "declared"), "b": (-1.0, 1.5, "example")}
    assert len(told) == 1
    assert made.history[-1].kind == "input range"


def test_an_example_of_one_value_needs_no_warning_for_it_is_refused_later():
    made = capture(nn.Linear(2, 1), torch.zeros(1, 2))
    assert find_ranges(made, None) == {"input": (0.0, 0.0, "example")}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": (0, 1), "c": (0, 1)}, "names c, and the network takes a, b"),
        ({"a": (0, 1)}, "has no entry for b"),
        ((1, 0), r"is \(1.0, 0.0\)"),
        (3, "is 3"),
    ],
)
def test_ranges_that_are_none_are_refused(given, words):
    with pytest.raises(SettingError, match=f"input_range: {words}"):
        find_ranges(two(), given)


def test_one_input_has_one_range_and_a_run_notes_where_they_come_from():
    one, other = InputRange(0.0, 1.0, "data"), InputRange(2.0, 3.0, "declared")
    assert as_ranges({"x": one}) == (0.0, 1.0)
    assert as_ranges({"x": one, "y": other}) == {"x": (0.0, 1.0), "y": (2.0, 3.0)}
    assert origins({"x": one, "y": other, "z": one}) == "data, declared"
    assert origins({}) is None


def test_a_run_is_noted_with_what_it_was_given():
    record = run_record("gptq", {"target": "xnnpack", "weights": 4, "layers": {}, "rule": None}, 7, time.perf_counter())
    assert (record.recipe, record.settings, record.seed) == ("gptq", {"target": "xnnpack", "weights": "4"}, 7)
    assert 0 <= record.seconds < 60
