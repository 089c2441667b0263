"""Ways that are tried: which there are, which is taken, and what is kept of each."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError, SettingError
from microjoule.execution.batches import batches
from microjoule.recipes.compression_trial import WHOLE, How, Score, Scored, by_metric, open_trial
from microjoule.records.measured import Evaluated

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).eval(), X[:2])


@contextmanager
def trial(network, values, **how):
    """A trial whose networks get these scores, one after another."""
    scores = iter(values)

    def scored(_):
        return Evaluated("", "fake", next(scores), "%", 7, "no data", 0.5)

    with open_trial(network, batches(X), Score("fake", "%", "no data", scored, dict), "macs", How(**how)) as made:
        yield made


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ways": ()}, "ways: is"),
        ({"ways": (1.1,)}, "ways: is"),
        ({"ways": (-0.1,)}, "ways: is"),
        ({"ways": (0.5,), "methods": ()}, "ways: need low-rank forms"),
        ({"multiple": 0}, "multiple: is 0"),
        ({"criterion": "size"}, "criterion: is 'size'"),
        ({"latency_bits": 16}, "latency_bits: is 16\n.*32, 8"),
        ({"methods": ("svd",)}, "methods: is"),
    ],
    ids=["no way", "above 1", "below 0", "needs forms", "no multiple", "no criterion", "no bits", "no method"],
)
def test_ways_that_there_are_not_are_refused(how, message):
    with pytest.raises(SettingError, match=message):
        How(**how)


def test_a_criterion_is_refused_where_no_channels_go():
    with pytest.raises(SettingError, match=r"ways: is \(0.0,\), so that no channel goes"):
        How(ways=(0.0,), criterion="norm")
    assert How(ways=(0.0, 0.5), criterion="norm").usable_ways == [0.0, 0.5]


def test_without_forms_only_pruning_alone_is_left():
    assert How(methods=()).usable_ways == [1.0]
    assert How(ways=(0.0, 0.5)).usable_ways == [0.0, 0.5]


def test_a_metric_becomes_a_score(network):
    labelled = batches((X, network(X).argmax(1)))
    score = by_metric(labelled, mj.zoo.metric("top1"))
    assert (score.name, score.unit, score.data) == ("top1", "%", labelled.name)
    assert score.of(network.copy()).value == 100


def test_every_way_is_made_once_and_keeps_the_share(network):
    with trial(network, (90, 1, 2, 3), ways=(0.0, 1.0)) as one:
        found = one.run([0.5])
    assert list(found) == [WHOLE, "0.5 0.0", "0.5 1.0"]
    assert [found[name].value for name in found] == [90, 1, 2]
    assert (found[WHOLE].cost, found[WHOLE].loss, found[WHOLE].pruned_to) == (6 * 12 + 12 * 4, 0, 1)
    assert all(found[name].cost <= 60 for name in ("0.5 0.0", "0.5 1.0"))
    assert found["0.5 0.0"].pruned_to == 1
    assert found["0.5 1.0"].pruned_to == found["0.5 1.0"].cost / 120


@pytest.mark.parametrize(
    ("values", "losses", "taken"),
    [((1, 2), (0.1, 0.2), "0.5 1.0"), ((2, 1), (0.2, 0.1), "0.5 0.0"), ((2, 2), (0.2, 0.1), "0.5 1.0")],
    ids=["second", "first", "equal: less loss"],
)
def test_the_best_score_is_taken_and_among_equals_the_least_loss(network, values, losses, taken):
    results = [Scored(value, 7, 0.5, 1.0, loss, 1.0, 50) for value, loss in zip(values, losses, strict=True)]
    with trial(network, (), ways=(0.0, 1.0)) as one:
        assert one.taken(0.5, dict(zip(("0.5 0.0", "0.5 1.0"), results, strict=True))) == taken


def test_a_way_that_cannot_be_gone_is_passed_over_and_the_record_tells_the_others(network):
    with trial(network, (90, 80), ways=(0.0, 1.0)) as one:
        found = one.run([0.16])  # one unit alone would cost 10 of 120, a whole network of rank 1 costs 34
        assert "channels alone can be pruned to" not in str(found["0.16 1.0"])
        assert isinstance(found["0.16 0.0"], str)
        made = one.best(0.16, found)
    *_, original, compressed, record = made.history
    assert (original.stage, original.value, compressed.stage, compressed.value) == ("original", 90, "compressed", 80)
    assert (record.chosen, len(record.tried), record.tried[0].value) == (0, 1, 80)
    assert (record.cost_before, record.budget, record.samples) == (120, 0.16 * 120, 7)
    assert mj.costs(made).macs == record.cost_after <= record.budget


def test_what_cannot_be_kept_in_any_way_is_refused(network):
    with trial(network, (90,), ways=(1.0,), methods=()) as one:
        with pytest.raises(SettingError, match=r"budget: cannot be kept in any way\n.*pruned to"):
            one.best(0.01, one.run([0.01]))
        with pytest.raises(SettingError, match=r"budget: of 0.01 of the cost cannot be kept in any way\n.*pruned to"):
            one.check(0.01)
        one.check(0.5)


def test_networks_of_another_criterion_are_other_results(network, tmp_path):
    with trial(network, (90, 80), ways=(1.0,), folder=tmp_path) as first:
        assert first.run([0.5])["0.5 1.0"].value == 80
    told = r"differs in criterion \('norm' here, 'elimination' in the folder\)"
    with pytest.raises(FileError, match=told), trial(network, (), ways=(1.0,), folder=tmp_path, criterion="norm"):
        pytest.fail("opened")
    with trial(network, (), ways=(1.0,), folder=tmp_path) as again:
        assert again.run([0.5])["0.5 1.0"].value == 80


def test_the_criterion_chooses_the_channels(network):
    with trial(network, ()) as one, trial(network, (), criterion="norm") as other:
        assert one.menu.removals["0"].order != other.menu.removals["0"].order


def test_a_folder_of_scores_on_other_samples_is_refused(network, tmp_path):
    labels, metric = network(X).argmax(1), mj.zoo.metric("top1")
    for count in (40, 20):
        score, how = by_metric(batches((X[:count], labels[:count])), metric), How(folder=tmp_path, ways=(0.0,))
        told = r"differs in labelled data \(1 batch here, 2 in the folder\)"
        expected = nullcontext() if count == 40 else pytest.raises(FileError, match=told)
        with expected, open_trial(network, batches(X), score, "macs", how) as made:
            made.run([0.9])
