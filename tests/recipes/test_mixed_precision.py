"""Networks with chosen bits, and the front that they make: costs, resuming, and bad input."""

import json
import sys

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError, SettingError
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import Parts
from microjoule.records.decided import MixedPrecision
from microjoule.records.json_io import from_json, to_json

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
PAIRS = ((2, 8), (4, 8), (8, 8))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval(), X[:2])


@pytest.fixture
def labelled(network):
    return X, network(X).argmax(1)


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor"])
@pytest.mark.parametrize("candidates", [PAIRS, ((4, 4), (8, 8))], ids=["weights", "pairs"])
def test_the_network_costs_what_was_chosen(network, target, candidates):
    made = mj.recipes.mixed_precision(network, X, budget="W5A6", candidates=candidates, target=target)
    record = made.history[-1]
    assert isinstance(record, MixedPrecision)
    assert from_json(to_json(record)) == record
    assert mj.costs(made).bops == record.spent <= record.budget
    assert all(layer.quantizer.integers is not None for layer in made.layers)
    assert not network.quantizers


def test_adaround_rounds_as_well(network):
    made = mj.recipes.mixed_precision(network, X, budget="W4A8", candidates=PAIRS, rounding="adaround")
    assert "AdaRound" in {getattr(record, "method", "") for record in made.history}


def test_each_point_of_a_front_is_measured(network, labelled):
    metric = mj.zoo.metric("top1")
    record = mj.recipes.pareto(network, labelled, metric, budgets=("W8A8", "W2A8", 80 * 4 * 8), candidates=PAIRS)
    assert [point.budget for point in record.points] == ["W2A8", "2560", "W8A8"]
    assert [point.spent for point in record.points] == [80 * 2 * 8, 80 * 4 * 8, 80 * 8 * 8]
    assert (record.fp_value, record.samples, record.cost_unit) == (100, 40, "BOPs")
    made = mj.recipes.mixed_precision(network, X, budget="W2A8", candidates=PAIRS)
    assert record.points[0].value == mj.evaluate(made, labelled, metric).value
    assert record.points[0].on_front
    assert record.points[0].value < record.points[2].value
    assert network.history[-1] is record
    assert from_json(to_json(record)) == record


def test_a_front_goes_on_where_it_stopped(network, labelled, tmp_path, monkeypatch):
    given = {"candidates": PAIRS, "folder": tmp_path}
    metric = mj.zoo.metric("top1")
    first = mj.recipes.pareto(network, labelled, metric, budgets=("W2A8",), **given)
    more = mj.recipes.pareto(network, labelled, metric, budgets=("W2A8", "W8A8"), **given)
    assert more.points[0].value == first.points[0].value
    monkeypatch.setattr(sys.modules["microjoule.recipes.mixed_precision"], "evaluate", None)  # nothing is scored again
    assert mj.recipes.pareto(network, labelled, metric, budgets=("W2A8", "W8A8"), **given) == more
    with pytest.raises(FileError, match=r"another run, which differs in seed \(1 here, 0 in the folder\)"):
        mj.recipes.pareto(network, labelled, metric, budgets=("W2A8",), seed=1, **given)
    with pytest.raises(FileError, match="another run, which differs in labels of labelled data"):
        mj.recipes.pareto(network, (labelled[0], labelled[1].flip(0)), metric, budgets=("W2A8",), **given)


def test_bits_that_were_chosen_are_not_chosen_again(network, tmp_path, monkeypatch):
    given = {"candidates": PAIRS, "folder": tmp_path}
    first = mj.recipes.mixed_precision(network, X, budget="W4A8", **given)
    monkeypatch.setattr(sys.modules["microjoule.recipes.mixed_precision"], "find_menu", None)
    again = mj.recipes.mixed_precision(network, X, budget="W4A8", **given)
    assert again.history[-1] == first.history[-1]
    for one, other in zip(first.layers, again.layers, strict=True):
        assert torch.equal(one.quantizer.integers, other.quantizer.integers)
    with pytest.raises(TypeError):  # another budget is another choice
        mj.recipes.mixed_precision(network, X, budget="W8A8", **given)


@pytest.mark.parametrize("text", ["[]", "no text", '[{"record": "Skipped"}]'])
def test_what_is_no_choice_of_bits_is_chosen_again(network, tmp_path, text):
    given = {"candidates": PAIRS, "folder": tmp_path}
    first = mj.recipes.mixed_precision(network, X, budget="W4A8", **given)
    digest = json.loads((tmp_path / "run.json").read_text())["digest"]
    Parts(tmp_path, digest).write("W4A8", Part(text=text))
    with pytest.warns(UserWarning, match=r"is damaged \(it is no result\); W4A8 is done again"):
        again = mj.recipes.mixed_precision(network, X, budget="W4A8", **given)
    assert again.history[-1] == first.history[-1]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"cost": "bytes"}, "cost"),
        ({"candidates": ((2, 8), (4, 8))}, "candidates"),
        ({"rounding": "adaround"}, "rounding"),
        ({"input_range": (0.0, 2.0)}, "input_range"),
        ({"target": "per-tensor"}, "target"),
    ],
    ids=str,
)
def test_another_option_is_another_run(network, tmp_path, other, told):
    given = {"candidates": PAIRS, "folder": tmp_path}
    mj.recipes.mixed_precision(network, X, budget="W4A8", **given)
    with pytest.raises(FileError, match=f"another run, which differs in {told}"):
        mj.recipes.mixed_precision(network, X, budget="W4A8", **{**given, **other})


def test_bad_input_is_refused(network, labelled):
    metric = mj.zoo.metric("top1")
    with pytest.raises(SettingError, match="rounding: is 'nearest'"):
        mj.recipes.mixed_precision(network, X, budget="W4A8", rounding="nearest")
    with pytest.raises(SettingError, match="candidates: is empty"):
        mj.recipes.mixed_precision(network, X, budget="W4A8", candidates=())
    with pytest.raises(SettingError, match="budgets: is"):
        mj.recipes.pareto(network, labelled, metric, budgets=())
    with pytest.raises(SettingError, match="budgets: is"):
        mj.recipes.pareto(network, labelled, metric, budgets=("W4A8", "W4A8"))
    with pytest.raises(DataError, match="has no targets"):
        mj.recipes.pareto(network, X, metric, budgets=("W4A8",), candidates=PAIRS)
