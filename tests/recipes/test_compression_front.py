"""The front that compressed networks make: costs, one menu for all shares, resuming, and bad input."""

from importlib import import_module

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError, SettingError
from microjoule.records.compressed import Compressed
from microjoule.records.json_io import from_json, to_json
from microjoule.records.measured import Evaluated

pytestmark = pytest.mark.filterwarnings("ignore:.* samples are of class:microjoule.errors.DataWarning")
"""Networks of random weights see one class in everything."""

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(3))
TRIAL = "microjoule.recipes.compression_trial"


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    return mj.capture(model.eval(), X[:2])


@pytest.fixture
def labelled(network):
    return X, network(X).argmax(1)


def test_each_point_is_the_network_that_compress_makes(network, labelled):
    metric, given = mj.zoo.metric("top1"), {"ways": (0.0, 1.0), "criterion": "matching"}
    record = mj.recipes.compression_front(network, labelled, metric, shares=(0.75, 0.3), **given)
    macs = 6 * 16 + 16 * 16 + 16 * 4
    assert [point.budget for point in record.points] == ["0.3", "0.75"]
    assert [point.spent <= share * macs for point, share in zip(record.points, (0.3, 0.75), strict=True)] == [True] * 2
    assert (record.fp_value, record.samples, record.cost, record.cost_unit) == (100, 12, "macs", "MACs")
    made = mj.compress(network, labelled, metric, macs=0.3, **given)
    told = made.history[-1]
    assert (told.cost_after, told.value_after, told.tried[told.chosen].loss) == (
        record.points[0].spent,
        record.points[0].value,
        record.points[0].loss,
    )
    assert mj.costs(made).macs == record.points[0].spent
    assert (told.confirmed, told.tried[told.chosen].value) == (record.points[0].compared, record.points[0].chosen_value)
    scores = [one for one in made.history if isinstance(one, Evaluated)]
    assert (scores[-1].compared, scores[-1].data) == (told.confirmed, "tuple (part to confirm on)")
    assert network.history[-1] is record
    assert from_json(to_json(record)) == record


def test_what_another_beats_in_both_is_not_on_the_front(network, labelled, monkeypatch):
    values = iter((100.0, 1.0, 2.0, 3.0, 100.0, 70.0, 60.0, 80.0))  # those to choose by, then those to confirm on

    class Fake:
        name, unit = "fake", ""
        reset = update = staticmethod(lambda *_: None)
        compute = staticmethod(lambda: next(values))

    shares = (0.9, 0.6, 0.3)
    record = mj.recipes.compression_front(network, labelled, Fake(), shares=shares, ways=(0.0,))
    assert [(point.budget, point.value, point.on_front, point.chosen_value) for point in record.points] == [
        ("0.3", 80.0, True, 3.0),
        ("0.6", 60.0, False, 2.0),
        ("0.9", 70.0, False, 1.0),
    ]


def test_where_less_is_better_the_front_has_the_least(network, labelled):
    def loss(outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="none")

    loss.higher_is_better = False
    record = mj.recipes.compression_front(network, labelled, loss, shares=(0.9, 0.3), ways=(0.0,), confirm=labelled)
    worse, better = record.points
    assert worse.value > better.value
    assert (worse.on_front, better.on_front) == (True, True)
    assert worse.compared.drop == pytest.approx(worse.value - record.fp_value)
    assert worse.compared.drop > 0
    assert record.samples == 60


def test_it_looks_at_the_network_once_for_all_shares(network, labelled, monkeypatch):
    module, calls = import_module(TRIAL), []
    found = module.find_menu
    monkeypatch.setattr(module, "find_menu", lambda *given, **named: calls.append(1) or found(*given, **named))
    mj.recipes.compression_front(network, labelled, mj.zoo.metric("top1"), shares=(0.9, 0.5), ways=(1.0,), methods=())
    assert len(calls) == 1


def test_it_goes_on_where_it_stopped_and_compress_finds_its_share(network, labelled, tmp_path, monkeypatch):
    metric, given = mj.zoo.metric("top1"), {"ways": (0.0, 1.0), "folder": tmp_path}
    first = mj.recipes.compression_front(network, labelled, metric, shares=(0.5,), **given)
    more = mj.recipes.compression_front(network, labelled, metric, shares=(0.5, 0.8), **given)
    assert more.points[0] == first.points[0]
    monkeypatch.setattr("microjoule.recipes.compression_scores.evaluate", lambda *_, **__: pytest.fail("scored again"))
    assert mj.recipes.compression_front(network, labelled, metric, shares=(0.5, 0.8), **given) == more
    made = mj.compress(network, labelled, metric, macs=0.5, **given)
    (record,) = (one for one in made.history if isinstance(one, Compressed))
    assert (record.value_after, record.cost_after) == (first.points[0].value, first.points[0].spent)
    with pytest.raises(FileError, match=r"another run, which differs in seed \(1 here, 0 in the folder\)"):
        mj.recipes.compression_front(network, labelled, metric, shares=(0.5,), seed=1, **given)
    with pytest.raises(FileError, match=r"another run, which differs in labelled data .*; labels of labelled data"):
        mj.recipes.compression_front(network, (labelled[0], labelled[1].flip(0)), metric, shares=(0.5,), **given)


def test_a_share_that_cannot_be_kept_is_refused_before_anything_is_scored(network, labelled, monkeypatch):
    metric = mj.zoo.metric("top1")
    monkeypatch.setattr("microjoule.recipes.compression_scores.evaluate", lambda *_, **__: pytest.fail("scored"))
    with pytest.raises(SettingError, match=r"of 0.001 of the cost cannot be kept in any way(.|\n)*pruned to"):
        mj.recipes.compression_front(network, labelled, metric, shares=(0.5, 0.001), methods=(), ways=(1.0,))


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.0,), (1.1,)], ids=["none", "twice", "nothing", "too much"])
def test_shares_that_there_are_not_are_refused(network, labelled, shares):
    with pytest.raises(SettingError, match="shares: is"):
        mj.recipes.compression_front(network, labelled, mj.zoo.metric("top1"), shares=shares)


def test_another_cost_and_data_without_labels_are_refused(network, labelled):
    metric = mj.zoo.metric("top1")
    with pytest.raises(SettingError, match="cost: is 'watts'"):
        mj.recipes.compression_front(network, labelled, metric, cost="watts")
    with pytest.raises(SettingError, match="criterion: is 'size'"):
        mj.recipes.compression_front(network, labelled, metric, criterion="size")
    with pytest.raises(DataError, match="has no targets"):
        mj.recipes.compression_front(network, X, metric, shares=(0.5,))
